#include "agent/ca/remote_ca.h"

#include <fstream>
#include <iterator>
#include <utility>

#include "agent/ca/grpc_call.h"
#include "ca/issuer.h"
#include "common/log.h"
#include "istio_ca.pb.h"

namespace leat::ca {
namespace {

constexpr char kPath[] = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
constexpr long kConnectTimeoutMs = 3000;

std::string pem_of_request(std::string_view der) {
  std::string base64(4 * ((der.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(base64.data()),
                                   reinterpret_cast<const unsigned char*>(der.data()), static_cast<int>(der.size()));
  base64.resize(static_cast<size_t>(size));
  std::string pem = "-----BEGIN CERTIFICATE REQUEST-----\n";
  for (size_t at = 0; at < base64.size(); at += 64) pem += base64.substr(at, 64) + "\n";
  return pem + "-----END CERTIFICATE REQUEST-----\n";
}

bool is_self_issued(std::string_view der) {
  const auto certificate = ssl::certificate_from_der(der);
  return certificate &&
         X509_NAME_cmp(X509_get_subject_name(certificate.get()), X509_get_issuer_name(certificate.get())) == 0;
}

}  // namespace

struct RemoteCa::Call {
  Order order;
  Done done;
  bool with_new_token = false;
  bool begun = false;
  std::string body;
  GrpcAnswer answer;
  char error[CURL_ERROR_SIZE] = {};
  CurlList headers, connect_to;
  CurlEasy easy;

  static size_t on_header(char* data, size_t, size_t size, void* self) {
    static_cast<Call*>(self)->answer.add_field({data, size});
    return size;
  }
  static size_t on_data(char* data, size_t, size_t size, void* self) {
    std::string& body = static_cast<Call*>(self)->answer.body;
    if (body.size() + size > kMostAnswerBytes) return 0;
    body.append(data, size);
    return size;
  }
  void add_header(const std::string& header) { headers.reset(curl_slist_append(headers.release(), header.c_str())); }
};

Result<std::unique_ptr<RemoteCa>> RemoteCa::open(EventLoop& loop, Settings settings,
                                                 std::function<void()> roots_changed) {
  std::unique_ptr<RemoteCa> remote(new RemoteCa(loop, std::move(settings), std::move(roots_changed)));
  LEAT_TRY(remote->multi_,
           CurlMulti::open(loop, [self = remote.get()](CURL* easy, CURLcode result) { self->ended(easy, result); }));
  remote->look_at_roots();
  return remote;
}

RemoteCa::RemoteCa(EventLoop& loop, Settings settings, std::function<void()> roots_changed)
    : loop_(loop),
      settings_(std::move(settings)),
      roots_changed_(std::move(roots_changed)),
      token_(settings_.token_file) {}

RemoteCa::~RemoteCa() {
  loop_.cancel(roots_timer_);
  for (const auto& [who, call] : calls_) {
    if (call->begun) multi_->remove(call->easy.get());
  }
}

// ---------------------------------------------------------------- roots

// A mounted ConfigMap is replaced by a link that is swapped: a look at the text every now and then sees it in each
// form.
void RemoteCa::look_at_roots() {
  roots_timer_ = loop_.after(kLookAtRoots, [this] { look_at_roots(); });
  if (const auto read = read_roots(); !read) {
    const std::string failure = roots_.empty()
                                    ? "the CA's roots are not there yet: " + read.error().message
                                    : "the CA's roots can't be read, the old ones stay: " + read.error().message;
    if (failure != std::exchange(roots_failure_, failure)) log::error("{}", failure);
  } else {
    roots_failure_.clear();
  }
}

Result<void> RemoteCa::read_roots() {
  std::ifstream file(settings_.root_file, std::ios::binary);
  if (!file) return fail_errno(errno, "opening {}", settings_.root_file);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (text == roots_text_) return {};
  auto roots = certificates_from_pem(text);
  if (!roots) return fail(ErrorCode::kInvalid, "{}: {}", settings_.root_file, roots.error().message);
  roots_text_ = std::move(text);
  roots_ = std::move(*roots);
  log::info("{} roots are trusted now", roots_.size());
  roots_changed_();
  return {};
}

// ---------------------------------------------------------------- orders

void RemoteCa::sign(Order order, Done done) {
  const std::string who = order.who;
  if (const auto former = calls_.find(who); former != calls_.end()) {
    if (former->second->begun) {
      multi_->remove(former->second->easy.get());
      --under_way_;
    }
    calls_.erase(former);
  }
  (order.urgent ? urgent_ : others_).push_back(who);
  auto call = std::make_unique<Call>();
  call->order = std::move(order);
  call->done = std::move(done);
  calls_[who] = std::move(call);
  begin_next();
}

void RemoteCa::begin_next() {
  while (under_way_ < kAtOnce && !(urgent_.empty() && others_.empty())) {
    std::deque<std::string>& queue = urgent_.empty() ? others_ : urgent_;
    const auto next = calls_.find(queue.front());
    queue.pop_front();
    if (next == calls_.end() || next->second->begun) continue;
    ++under_way_;
    begin(*next->second);
  }
}

void RemoteCa::begin(Call& call) {
  istio::v1::auth::IstioCertificateRequest request;
  request.set_csr(pem_of_request(call.order.request_der));
  request.set_validity_duration(call.order.lifetime.count());
  (*request.mutable_metadata()->mutable_fields())["ImpersonatedIdentity"].set_string_value(call.order.identity);
  call.begun = true;
  call.body = grpc_frame(request.SerializeAsString());
  call.answer = {};
  call.headers.reset();
  call.easy.reset(curl_easy_init());
  CURL* easy = call.easy.get();

  std::string url = fmt::format("https://{}{}", settings_.address, kPath);
  if (!settings_.server_name.empty()) {
    const std::string port = settings_.address.substr(settings_.address.rfind(':'));
    url = fmt::format("https://{}{}{}", settings_.server_name, port, kPath);
    call.connect_to.reset(curl_slist_append(nullptr, ("::" + settings_.address).c_str()));
    set_curl_option(easy, CURLOPT_CONNECT_TO, call.connect_to.get());
  }
  set_curl_option(easy, CURLOPT_URL, url.c_str());
  set_curl_option(easy, CURLOPT_PRIVATE, &call);
  set_curl_option(easy, CURLOPT_ERRORBUFFER, call.error);
  set_curl_option(easy, CURLOPT_WRITEFUNCTION, &Call::on_data);
  set_curl_option(easy, CURLOPT_WRITEDATA, &call);
  set_curl_option(easy, CURLOPT_HEADERFUNCTION, &Call::on_header);
  set_curl_option(easy, CURLOPT_HEADERDATA, &call);
  CurlMulti::set_defaults(easy);
  set_curl_option(easy, CURLOPT_CAINFO, settings_.root_file.c_str());
  set_curl_option(easy, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  set_curl_option(easy, CURLOPT_TIMEOUT, static_cast<long>(kDeadline.count()));
  set_curl_option(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
  set_curl_option(easy, CURLOPT_POSTFIELDS, call.body.data());
  call.add_header("Content-Type: application/grpc");
  call.add_header("TE: trailers");
  call.add_header("Expect:");
  call.add_header("User-Agent: leat-agent/" LEAT_VERSION);
  if (const std::string& token = token_.get(kubernetes::TokenFile::Clock::now()); !token.empty())
    call.add_header("Authorization: Bearer " + token);
  set_curl_option(easy, CURLOPT_HTTPHEADER, call.headers.get());
  multi_->add(easy);
}

void RemoteCa::ended(CURL* easy, CURLcode result) {
  Call* ended = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &ended);
  // A token that ran out is replaced on disk long before: read it again, once.
  if (result == CURLE_OK && ended->answer.is_unauthenticated() && !std::exchange(ended->with_new_token, true)) {
    token_.forget();
    return begin(*ended);
  }
  --under_way_;
  const auto found = calls_.find(ended->order.who);
  const std::unique_ptr<Call> call = std::move(found->second);
  calls_.erase(found);
  Result<Chain> chain = chain_of(*call, result);
  failure_ = chain ? "" : chain.error().message;
  call->done(std::move(chain));
  begin_next();
}

Result<RemoteCa::Chain> RemoteCa::chain_of(Call& call, CURLcode result) const {
  if (result != CURLE_OK) {
    return fail(ErrorCode::kTimeout, "CA {} can't be asked: {}", settings_.address,
                *call.error != 0 ? call.error : curl_easy_strerror(result));
  }
  long status = 0;
  curl_easy_getinfo(call.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  const auto message = call.answer.message(static_cast<int>(status));
  if (!message) return fail(message.error().code, "CA {} answered: {}", settings_.address, message.error().message);
  istio::v1::auth::IstioCertificateResponse response;
  Chain chain;
  if (response.ParseFromString(*message)) {
    for (const std::string& pem : response.cert_chain()) {
      const auto certificates = certificates_from_pem(pem);
      if (!certificates)
        return fail(ErrorCode::kProtocol, "CA {}: {}", settings_.address, certificates.error().message);
      for (const std::string& der : *certificates) {
        if (!is_self_issued(der)) chain.push_back(der);
      }
    }
  }
  if (chain.empty()) return fail(ErrorCode::kProtocol, "CA {} answered without a certificate", settings_.address);
  return chain;
}

}  // namespace leat::ca
