// By when a request, and each of its tries, has to be through. Counts from when the request was whole, for the time
// that a client takes to send it is its own affair. Pure.
#pragma once

#include <algorithm>
#include <chrono>

#include "userspace-proxy/limits.h"

namespace leat::proxy {

class Deadlines {
 public:
  static constexpr Clock::time_point kNever = Clock::time_point::max();

  // Of the request, to the last byte of its response; of a try, to the first one. 0: no bound. The smaller of two
  // bounds for the request is what holds, so that a client's own (grpc-timeout) can be one.
  void limit_request(std::chrono::milliseconds time) {
    if (time.count() > 0) request_time_ = request_time_.count() > 0 ? std::min(request_time_, time) : time;
  }
  // The same as a point in time, that does not wait for the request to be whole: a gRPC call's own.
  void limit_until(Clock::time_point deadline) { request_ = std::min(request_, deadline); }
  void limit_try(std::chrono::milliseconds time) { try_time_ = time; }

  void request_is_whole(Clock::time_point now) {
    if (request_time_.count() > 0) request_ = std::min(request_, now + request_time_);
    whole_ = true;
    if (!begun_) begin_try(now);
  }
  void begin_try(Clock::time_point now) {
    begun_ = false;
    try_ = whole_ && try_time_.count() > 0 ? now + try_time_ : kNever;
  }
  // Which it may before the request is whole.
  void response_has_begun() {
    begun_ = true;
    try_ = kNever;
  }

  [[nodiscard]] bool any() const { return request_time_.count() > 0 || try_time_.count() > 0 || request_ != kNever; }
  [[nodiscard]] Clock::time_point next() const { return std::min(request_, try_); }
  [[nodiscard]] Clock::time_point request() const { return request_; }

 private:
  std::chrono::milliseconds request_time_{};
  std::chrono::milliseconds try_time_{};
  Clock::time_point request_ = kNever;
  Clock::time_point try_ = kNever;
  bool whole_ = false;
  bool begun_ = false;
};

}  // namespace leat::proxy
