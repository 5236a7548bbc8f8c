// libcurl's multi interface on an EventLoop: HTTP transfers without a thread. It knows nothing of what they carry.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <set>

#include "common/event_loop.h"
#include "common/result.h"

namespace leat {

struct FreeCurlEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using CurlEasy = std::unique_ptr<CURL, FreeCurlEasy>;
struct FreeCurlList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using CurlList = std::unique_ptr<curl_slist, FreeCurlList>;

// An option that libcurl does not know is a fault of this program: it stops.
template <typename Value>
void set_curl_option(CURL* easy, CURLoption option, Value value);

class CurlMulti {
 public:
  // A transfer ended. `easy` is no longer added; whoever added it owns it, and may begin others from here.
  using Ended = std::function<void(CURL* easy, CURLcode result)>;

  static Result<std::unique_ptr<CurlMulti>> open(EventLoop& loop, Ended ended);
  ~CurlMulti();  // every handle was removed before
  CurlMulti(const CurlMulti&) = delete;
  CurlMulti& operator=(const CurlMulti&) = delete;

  // `ended` is called later, never from here.
  void add(CURL* easy) { curl_multi_add_handle(multi_, easy); }
  void remove(CURL* easy) { curl_multi_remove_handle(multi_, easy); }

  // What every transfer of a daemon wants: no signals, no proxy from the environment, TLS 1.2 or newer, HTTP/2 where it
  // can be had, and a peer that is gone is noticed within 30 s.
  static void set_defaults(CURL* easy);

 private:
  CurlMulti(EventLoop& loop, Ended ended, CURLM* multi);
  void act(curl_socket_t socket, int events);
  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM* multi, long timeout_ms, void* self);

  EventLoop& loop_;
  Ended ended_;
  CURLM* multi_;
  EventLoop::TimerId timer_ = 0;
  std::set<int> watched_;
};

void stop_for_unknown_curl_option();

template <typename Value>
void set_curl_option(CURL* easy, CURLoption option, Value value) {
  if (curl_easy_setopt(easy, option, value) != CURLE_OK) stop_for_unknown_curl_option();
}

}  // namespace leat
