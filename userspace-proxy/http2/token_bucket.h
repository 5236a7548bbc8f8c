// A rate limit: `burst` tokens at first, refilled with time.
#pragma once

#include <algorithm>
#include <chrono>

#include "userspace-proxy/http2/limits.h"

namespace leat::http2 {

class TokenBucket {
 public:
  explicit TokenBucket(limits::Rate rate) : rate_(rate), tokens_(rate.burst) {}

  // False: the bucket is empty.
  bool take(std::chrono::steady_clock::time_point now) {
    const std::chrono::duration<double> passed = now - refilled_;
    tokens_ = std::min<double>(rate_.burst, tokens_ + passed.count() * rate_.per_second);
    refilled_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  // One token back, beyond what time gives.
  void give() { tokens_ = std::min<double>(rate_.burst, tokens_ + 1); }

 private:
  limits::Rate rate_;
  double tokens_;
  std::chrono::steady_clock::time_point refilled_{};
};

}  // namespace leat::http2
