// How long to wait after a failure: exponential with full jitter, so that a thousand agents do not come back at once.
#pragma once

#include <algorithm>
#include <chrono>

namespace leat::kubernetes {

class Backoff {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kFirst{800};
  static constexpr std::chrono::milliseconds kLongest{30'000};
  static constexpr std::chrono::minutes kForgetAfter{2};  // without a failure

  // `random`: 0 to 1.
  std::chrono::milliseconds next(Clock::time_point now, double random) {
    if (now - last_failure_ > kForgetAfter) bound_ = kFirst;
    last_failure_ = now;
    const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(bound_ * random);
    bound_ = std::min(2 * bound_, kLongest);
    return wait;
  }

 private:
  std::chrono::milliseconds bound_ = kFirst;
  Clock::time_point last_failure_;
};

}  // namespace leat::kubernetes
