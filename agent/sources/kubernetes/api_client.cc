#include "agent/sources/kubernetes/api_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "common/check.h"
#include "common/log.h"

namespace leat::sources {
namespace {

// A page of 500 objects of the largest size that etcd takes (1.5 MB) would be more; real ones are 3 MB.
constexpr size_t kMostBodyBytes = 256u << 20;
constexpr size_t kMostLineBytes = 8u << 20;  // one object, twice etcd's bound in JSON
constexpr long kConnectTimeoutMs = 5000;
constexpr long kStallSeconds = 30;                                  // of a body that is collected
constexpr int kKeepIdleS = 15, kKeepIntervalS = 5, kKeepCount = 3;  // a peer that is gone is noticed within 30 s
constexpr unsigned kUserTimeoutMs = 30'000;

// A load balancer that dies leaves sockets that say nothing for ever.
int set_keepalive(void*, curl_socket_t socket, curlsocktype) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepIdleS, sizeof kKeepIdleS);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepIntervalS, sizeof kKeepIntervalS);
  setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kKeepCount, sizeof kKeepCount);
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof kUserTimeoutMs);
  return CURL_SOCKOPT_OK;
}

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

template <typename Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  LEAT_CHECK(code == CURLE_OK, "libcurl does not know an option that it is used with");
}

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
  std::unique_ptr<CURL, FreeEasy> easy;
  std::unique_ptr<curl_slist, FreeList> headers;

  [[nodiscard]] int status() const {
    long code = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }
  void add_header(const std::string& header) { headers.reset(curl_slist_append(headers.release(), header.c_str())); }
  bool take_lines();
};

Result<std::unique_ptr<ApiClient>> ApiClient::open(EventLoop& loop, ApiServers servers) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) return fail(ErrorCode::kSystem, "libcurl can't be set up: {}", curl_easy_strerror(ready));
  return std::unique_ptr<ApiClient>(new ApiClient(loop, std::move(servers), multi));
}

ApiClient::ApiClient(EventLoop& loop, ApiServers servers, CURLM* multi)
    : loop_(loop), servers_(std::move(servers)), token_(servers_.token_file), multi_(multi) {
  LEAT_CHECK(!servers_.urls.empty(), "a client without a server");
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &ApiClient::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &ApiClient::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

ApiClient::~ApiClient() {
  for (const auto& [id, transfer] : transfers_) curl_multi_remove_handle(multi_, transfer->easy.get());
  transfers_.clear();
  curl_multi_cleanup(multi_);
  for (const int socket : watched_) loop_.forget(socket);
  loop_.cancel(timer_);
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
  curl_multi_remove_handle(multi_, found->second->easy.get());
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
  set(easy, CURLOPT_URL, (servers_.urls[server_] + request.path).c_str());
  set(easy, CURLOPT_PRIVATE, &transfer);
  set(easy, CURLOPT_ERRORBUFFER, transfer.error);
  set(easy, CURLOPT_WRITEFUNCTION, &ApiClient::on_data);
  set(easy, CURLOPT_WRITEDATA, &transfer);
  set(easy, CURLOPT_HEADERFUNCTION, &ApiClient::on_header);
  set(easy, CURLOPT_HEADERDATA, &transfer);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_NOPROXY, "*");  // the node's own way to its API server, never another one
  set(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set(easy, CURLOPT_CAINFO, servers_.ca_file.c_str());
  set(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);                        // it may be replaced at any time
  set(easy, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});  // all watches in one connection
  set(easy, CURLOPT_PIPEWAIT, 1L);
  set(easy, CURLOPT_SOCKOPTFUNCTION, &set_keepalive);
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  set(easy, CURLOPT_TIMEOUT, static_cast<long>(request.deadline.count()));
  if (!request.lines) {
    set(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    set(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(easy, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  }
  if (request.method != "GET") set(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (!request.body.empty()) {
    set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(easy, CURLOPT_POSTFIELDS, request.body.data());
    transfer.add_header("Content-Type: " + request.content_type);
    transfer.add_header("Expect:");
  }
  transfer.add_header("Accept: application/json");
  transfer.add_header("User-Agent: leat-agent/" LEAT_VERSION);
  if (const std::string& token = token_.get(TokenFile::Clock::now()); !token.empty())
    transfer.add_header("Authorization: Bearer " + token);
  set(easy, CURLOPT_HTTPHEADER, transfer.headers.get());
  curl_multi_add_handle(multi_, easy);
}

// ---------------------------------------------------------------- libcurl's side of the event loop

int ApiClient::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& client = *static_cast<ApiClient*>(self);
  if (what == CURL_POLL_REMOVE) {
    if (client.watched_.erase(socket) > 0) client.loop_.forget(socket);
    return 0;
  }
  const uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? uint32_t{EPOLLIN} : 0) | ((what & CURL_POLL_OUT) != 0 ? uint32_t{EPOLLOUT} : 0);
  if (!client.watched_.insert(socket).second) {
    client.loop_.set_events(socket, events);
    return 0;
  }
  client.loop_.watch(socket, events, [&client, socket](uint32_t ready) {
    const int seen = ((ready & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) | ((ready & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                     ((ready & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    client.act(socket, seen);
  });
  return 0;
}

int ApiClient::on_timer(CURLM*, long timeout_ms, void* self) {
  auto& client = *static_cast<ApiClient*>(self);
  client.loop_.cancel(std::exchange(client.timer_, 0));
  if (timeout_ms < 0) return 0;
  client.timer_ = client.loop_.after(std::chrono::milliseconds(timeout_ms), [&client] {
    client.timer_ = 0;
    client.act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void ApiClient::act(curl_socket_t socket, int events) {
  int running = 0;
  curl_multi_socket_action(multi_, socket, events, &running);
  finish_ended();
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

void ApiClient::finish_ended() {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;  // gone with the handle's removal
    Transfer* transfer = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    finish(*transfer, result);
  }
}

void ApiClient::finish(Transfer& transfer, CURLcode result) {
  curl_multi_remove_handle(multi_, transfer.easy.get());
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

}  // namespace leat::sources
