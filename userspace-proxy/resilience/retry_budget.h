// How many retries a Service bears: when all of it fails, each request would otherwise come several times and keep it
// from recovering. Retries may be a share of the requests, either of the last while, so that a burst of failures after
// quiet times is retried whole, or of those under way at this moment, as in Envoy; and a few at once are always
// allowed. One a worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>
#include <utility>

#include "userspace-proxy/limits.h"

namespace leat::proxy {

struct RetryBudget {
  double share = limits::kRetryShare;                       // of the requests, that retries may be
  uint32_t always = limits::kRetriesAlways;                 // at once
  std::chrono::milliseconds window = limits::kRetryWindow;  // whose requests count; 0: those under way
  uint32_t most = UINT32_MAX;                               // at once, whatever the share is
};

class RetryBudgets {
 public:
  // One request, or one retry, while it is under way.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Use& operator=(Use&& other) noexcept {
      std::swap(count_, other.count_);
      return *this;
    }
    ~Use() {
      if (count_) --*count_;
    }
    explicit operator bool() const { return count_ != nullptr; }

   private:
    friend class RetryBudgets;
    explicit Use(uint32_t& count) : count_(&count) { ++count; }
    uint32_t* count_ = nullptr;
  };

  // `service`: a number that stays the same over generations of the model.
  [[nodiscard]] Use request(uint64_t service, const RetryBudget& budget, Clock::time_point now);
  // Empty: one more is too many.
  [[nodiscard]] Use retry(uint64_t service, const RetryBudget& budget, Clock::time_point now);
  // Forgets services that nobody asks any more; call it every few seconds.
  void forget_idle(Clock::time_point now);

  [[nodiscard]] uint64_t retries() const { return retries_; }
  [[nodiscard]] uint64_t refused() const { return refused_; }

 private:
  struct Count {
    uint32_t now = 0;            // under way
    uint32_t begun = 0;          // in this window
    uint32_t begun_in_last = 0;  // in the one before
  };
  struct Load {
    Count requests, retries;
    Clock::time_point since{};  // when this window began
  };
  Load& load_of(uint64_t service, const RetryBudget& budget, Clock::time_point now);

  std::unordered_map<uint64_t, Load> loads_;  // references to values stay valid while the entry lives
  uint64_t retries_ = 0;
  uint64_t refused_ = 0;
};

}  // namespace leat::proxy
