#include "common/curl_multi.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <utility>

#include "common/check.h"

namespace leat {
namespace {

constexpr int kKeepIdleS = 15, kKeepIntervalS = 5, kKeepCount = 3;
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

}  // namespace

void stop_for_unknown_curl_option() { LEAT_CHECK(false, "libcurl does not know an option that it is used with"); }

Result<std::unique_ptr<CurlMulti>> CurlMulti::open(EventLoop& loop, Ended ended) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  CURLM* multi = ready == CURLE_OK ? curl_multi_init() : nullptr;
  if (multi == nullptr) return fail(ErrorCode::kSystem, "libcurl can't be set up: {}", curl_easy_strerror(ready));
  return std::unique_ptr<CurlMulti>(new CurlMulti(loop, std::move(ended), multi));
}

CurlMulti::CurlMulti(EventLoop& loop, Ended ended, CURLM* multi)
    : loop_(loop), ended_(std::move(ended)), multi_(multi) {
  curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlMulti::on_socket);
  curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlMulti::on_timer);
  curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
}

CurlMulti::~CurlMulti() {
  curl_multi_cleanup(multi_);
  for (const int socket : watched_) loop_.forget(socket);
  loop_.cancel(timer_);
}

void CurlMulti::set_defaults(CURL* easy) {
  set_curl_option(easy, CURLOPT_NOSIGNAL, 1L);
  set_curl_option(easy, CURLOPT_NOPROXY, "*");  // the node's own way, never another one
  set_curl_option(easy, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set_curl_option(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);                        // the file may be replaced at any time
  set_curl_option(easy, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_2TLS});  // many transfers in one connection
  set_curl_option(easy, CURLOPT_PIPEWAIT, 1L);
  set_curl_option(easy, CURLOPT_SOCKOPTFUNCTION, &set_keepalive);
}

int CurlMulti::on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& multi = *static_cast<CurlMulti*>(self);
  if (what == CURL_POLL_REMOVE) {
    if (multi.watched_.erase(socket) > 0) multi.loop_.forget(socket);
    return 0;
  }
  const uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? uint32_t{EPOLLIN} : 0) | ((what & CURL_POLL_OUT) != 0 ? uint32_t{EPOLLOUT} : 0);
  if (!multi.watched_.insert(socket).second) {
    multi.loop_.set_events(socket, events);
    return 0;
  }
  multi.loop_.watch(socket, events, [&multi, socket](uint32_t ready) {
    const int seen = ((ready & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) | ((ready & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                     ((ready & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
    multi.act(socket, seen);
  });
  return 0;
}

int CurlMulti::on_timer(CURLM*, long timeout_ms, void* self) {
  auto& multi = *static_cast<CurlMulti*>(self);
  multi.loop_.cancel(std::exchange(multi.timer_, 0));
  if (timeout_ms < 0) return 0;
  multi.timer_ = multi.loop_.after(std::chrono::milliseconds(timeout_ms), [&multi] {
    multi.timer_ = 0;
    multi.act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlMulti::act(curl_socket_t socket, int events) {
  int left = 0;
  curl_multi_socket_action(multi_, socket, events, &left);
  while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode result = message->data.result;  // gone with the handle's removal
    CURL* easy = message->easy_handle;
    curl_multi_remove_handle(multi_, easy);
    ended_(easy, result);
  }
}

}  // namespace leat
