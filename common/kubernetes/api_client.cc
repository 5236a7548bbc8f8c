#include "common/kubernetes/api_client.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "common/check.h"
#include "common/log.h"

namespace leat::kubernetes {
namespace {

// A page of 500 objects of the largest size that etcd takes (1.5 MB) would be more; real ones are 3 MB.
constexpr size_t kMostBodyBytes = 256u << 20;
constexpr size_t kMostLineBytes = 8u << 20;  // one object, twice etcd's bound in JSON
constexpr long kConnectTimeoutMs = 5000;
constexpr long kStallSeconds = 30;  // of a body that is collected

}  // namespace

struct ApiClient::Transfer {
  ApiClient* client = nullptr;
  Id id = 0;
  Request request;
  Handlers handlers;
  size_t server = 0;
  bool with_new_token = false;  // it was answered with 401 once
  bool enough = false;          // `line` wanted no more
  bool too_large = false;
  std::string buffer;  // the body, or the line that is not whole yet
  char error[CURL_ERROR_SIZE] = {};
  CurlEasy easy;
  CurlList headers;

  [[nodiscard]] int status() const {
    long code = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }
  void add_header(const std::string& header) { headers.reset(curl_slist_append(headers.release(), header.c_str())); }
  bool take_lines();
};

ApiServers servers_of_pod() {
  constexpr char kFolder[] = "/var/run/secrets/kubernetes.io/serviceaccount";
  ApiServers servers{
      .urls = {}, .token_file = fmt::format("{}/token", kFolder), .ca_file = fmt::format("{}/ca.crt", kFolder)};
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || *host == 0 || port == nullptr || *port == 0) return servers;
  const bool ipv6 = std::string_view(host).find(':') != std::string_view::npos;
  servers.urls = {fmt::format("https://{}{}{}:{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port)};
  return servers;
}

Result<std::unique_ptr<ApiClient>> ApiClient::open(EventLoop& loop, ApiServers servers) {
  std::unique_ptr<ApiClient> client(new ApiClient(std::move(servers)));
  LEAT_TRY(client->multi_, CurlMulti::open(loop, [self = client.get()](CURL* easy, CURLcode result) {
             Transfer* transfer = nullptr;
             curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
             self->finish(*transfer, result);
           }));
  return client;
}

ApiClient::ApiClient(ApiServers servers) : servers_(std::move(servers)), token_(servers_.token_file) {
  LEAT_CHECK(!servers_.urls.empty(), "a client without a server");
}

ApiClient::~ApiClient() {
  for (const auto& [id, transfer] : transfers_) multi_->remove(transfer->easy.get());
}

ApiClient::Id ApiClient::send(Request request, Handlers handlers) {
  const Id id = next_id_++;
  auto transfer = std::make_unique<Transfer>();
  transfer->client = this;
  transfer->id = id;
  transfer->request = std::move(request);
  transfer->handlers = std::move(handlers);
  begin(*transfers_.emplace(id, std::move(transfer)).first->second);
  return id;
}

void ApiClient::cancel(Id id) {
  const auto found = transfers_.find(id);
  if (found == transfers_.end()) return;
  multi_->remove(found->second->easy.get());
  transfers_.erase(found);
}

// Anew for each try: a handle carries nothing over from the one before.
void ApiClient::begin(Transfer& transfer) {
  const Request& request = transfer.request;
  transfer.server = server_;
  transfer.buffer.clear();
  transfer.headers.reset();
  transfer.easy.reset(curl_easy_init());
  CURL* easy = transfer.easy.get();
  set_curl_option(easy, CURLOPT_URL, (servers_.urls[server_] + request.path).c_str());
  set_curl_option(easy, CURLOPT_PRIVATE, &transfer);
  set_curl_option(easy, CURLOPT_ERRORBUFFER, transfer.error);
  set_curl_option(easy, CURLOPT_WRITEFUNCTION, &ApiClient::on_data);
  set_curl_option(easy, CURLOPT_WRITEDATA, &transfer);
  set_curl_option(easy, CURLOPT_HEADERFUNCTION, &ApiClient::on_header);
  set_curl_option(easy, CURLOPT_HEADERDATA, &transfer);
  CurlMulti::set_defaults(easy);
  set_curl_option(easy, CURLOPT_CAINFO, servers_.ca_file.c_str());
  set_curl_option(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  set_curl_option(easy, CURLOPT_TIMEOUT, static_cast<long>(request.deadline.count()));
  if (!request.lines) {
    set_curl_option(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    set_curl_option(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    set_curl_option(easy, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  }
  if (request.method != "GET") set_curl_option(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (!request.body.empty()) {
    set_curl_option(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set_curl_option(easy, CURLOPT_POSTFIELDS, request.body.data());
    transfer.add_header("Content-Type: " + request.content_type);
    transfer.add_header("Expect:");
  }
  transfer.add_header("Accept: application/json");
  transfer.add_header(fmt::format("User-Agent: {}/{}", servers_.user_agent, LEAT_VERSION));
  if (const std::string& token = token_.get(TokenFile::Clock::now()); !token.empty())
    transfer.add_header("Authorization: Bearer " + token);
  set_curl_option(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  multi_->add(easy);
}

// ---------------------------------------------------------------- what comes, and how it ends

size_t ApiClient::on_header(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const bool last = std::string_view(data, size) == "\r\n";
  if (last && transfer.request.lines && transfer.status() == 200) transfer.handlers.begun();
  return size;
}

size_t ApiClient::on_data(char* data, size_t, size_t size, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  constexpr size_t kStop = 0;  // another size than was given ends the transfer
  const bool as_lines = transfer.request.lines && transfer.status() == 200;
  transfer.buffer.append(data, size);
  if (as_lines && !transfer.take_lines()) {
    transfer.enough = true;
    return kStop;
  }
  transfer.too_large = transfer.buffer.size() > (as_lines ? kMostLineBytes : kMostBodyBytes);
  return transfer.too_large ? kStop : size;
}

// False: no more are wanted.
bool ApiClient::Transfer::take_lines() {
  size_t begin = 0;
  for (size_t end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n', begin)) {
    const std::string_view line(buffer.data() + begin, end - begin);
    begin = end + 1;
    if (!line.empty() && !handlers.line(line)) return false;
  }
  buffer.erase(0, begin);
  return true;
}

void ApiClient::finish(Transfer& transfer, CURLcode result) {
  Answer answer{.status = transfer.status(), .body = {}, .error = {}, .retry_after = {}};
  if (answer.status == 401 && !transfer.with_new_token) {
    token_.forget();
    transfer.with_new_token = true;
    return begin(transfer);
  }
  if (transfer.too_large) {
    answer.error = "the answer is larger than any that Kubernetes gives";
  } else if (result != CURLE_OK && !transfer.enough) {
    answer.error = fmt::format("{}: {}", servers_.urls[transfer.server],
                               *transfer.error != 0 ? transfer.error : curl_easy_strerror(result));
    // Others may have moved on to the next server meanwhile.
    if (server_ == transfer.server) server_ = (server_ + 1) % servers_.urls.size();
  }
  curl_off_t retry_after = 0;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_RETRY_AFTER, &retry_after);
  if (retry_after > 0) answer.retry_after = std::chrono::seconds(retry_after);
  if (!transfer.request.lines || answer.status != 200) answer.body = std::move(transfer.buffer);
  const auto done = std::move(transfer.handlers.done);
  transfers_.erase(transfer.id);
  done(std::move(answer));
}

}  // namespace leat::kubernetes
