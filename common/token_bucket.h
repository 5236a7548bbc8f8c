// A rate with a burst, in memory of two numbers.
#pragma once

#include <algorithm>
#include <chrono>

namespace leat {

class TokenBucket {
 public:
  using Time = std::chrono::steady_clock::time_point;

  TokenBucket(double a_second, double burst, Time now) : a_second_(a_second), burst_(burst), tokens_(burst), at_(now) {}

  // Takes `count` tokens if there are so many.
  bool take(double count, Time now) {
    refill(now);
    if (tokens_ < count) return false;
    tokens_ -= count;
    return true;
  }

  // Takes `count` tokens, on credit if need be; the time after which the debt is paid.
  std::chrono::milliseconds take_on_credit(double count, Time now) {
    refill(now);
    tokens_ -= count;
    if (tokens_ >= 0) return std::chrono::milliseconds(0);
    return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(-tokens_ / a_second_));
  }

 private:
  void refill(Time now) {
    const double seconds = std::chrono::duration<double>(now - at_).count();
    tokens_ = std::min(burst_, tokens_ + std::max(0.0, seconds) * a_second_);
    at_ = now;
  }

  double a_second_;
  double burst_;
  double tokens_;
  Time at_;
};

}  // namespace leat
