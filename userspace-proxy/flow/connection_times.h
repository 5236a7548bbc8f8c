// How long an opaque connection may be silent, and how long it may last, where a policy says so.
#pragma once

#include <algorithm>
#include <functional>

#include "userspace-proxy/mesh/policy.h"
#include "userspace-proxy/ring/relay.h"
#include "userspace-proxy/telemetry/reason.h"

namespace leat::proxy {

class ConnectionTimes {
 public:
  static bool are_limited(const v1::ConnectionLimits& limits) {
    return limits.idle_timeout_ms() > 0 || limits.max_connection_duration_ms() > 0;
  }

  // From now on; `end` is called once when one of them is over, on the loop's thread. `bytes` count what passes.
  ConnectionTimes(ring::Loop& loop, const v1::ConnectionLimits& limits, const ring::RelayCounters& bytes,
                  std::function<void()> end)
      : loop_(loop), bytes_(bytes), end_(std::move(end)), timer_(loop.timers(), [this] { look(); }) {
    const auto now = loop.now();
    if (limits.idle_timeout_ms() > 0) idle_ = std::chrono::milliseconds(limits.idle_timeout_ms());
    if (limits.max_connection_duration_ms() > 0)
      last_ = now + std::chrono::milliseconds(limits.max_connection_duration_ms());
    heard_ = now;
    timer_.arm(next());
  }
  ConnectionTimes(const ConnectionTimes&) = delete;
  ConnectionTimes& operator=(const ConnectionTimes&) = delete;

  // Why it was ended; kNone: it was not.
  [[nodiscard]] Reason reason() const { return reason_; }

 private:
  static constexpr auto kNever = ring::Clock::time_point::max();
  // Looks at one idle time in which the counters are seen to stand still: an eighth of it later than exact at most.
  static constexpr int kLooksAnIdleTime = 8;

  [[nodiscard]] ring::Clock::time_point next() const {
    if (idle_ == ring::Clock::duration::zero()) return last_;
    return std::min(last_, loop_.now() + std::max<ring::Clock::duration>(idle_ / kLooksAnIdleTime, kTick));
  }

  void look() {
    const auto now = loop_.now();
    if (const uint64_t total = bytes_.a_to_b + bytes_.b_to_a; total != seen_) {
      seen_ = total;
      heard_ = now;
    }
    if (now >= last_) {
      reason_ = Reason::kConnectionDuration;
    } else if (idle_ != ring::Clock::duration::zero() && now - heard_ >= idle_) {
      reason_ = Reason::kIdleTimeout;
    } else {
      return timer_.arm(next());
    }
    end_();
  }

  static constexpr auto kTick = std::chrono::milliseconds(1);
  ring::Loop& loop_;
  const ring::RelayCounters& bytes_;
  std::function<void()> end_;
  ring::Timer timer_;
  ring::Clock::duration idle_{};
  ring::Clock::time_point last_ = kNever;
  ring::Clock::time_point heard_;
  uint64_t seen_ = 0;
  Reason reason_ = Reason::kNone;
};

}  // namespace leat::proxy
