// What all workers together know about endpoints that a traffic policy watches. The model is immutable; these few
// counters beside it are not, and live on from one generation of a Service to the next. Relaxed atomics: each value
// stands for itself.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/ref.h"

namespace leat::proxy {

// A time of Clock, shared. The clock's own zero stands for "never".
class SharedTime {
 public:
  [[nodiscard]] Clock::time_point get() const { return Clock::time_point(Clock::duration(value_.load(kRelaxed))); }
  void set(Clock::time_point time) { value_.store(time.time_since_epoch().count(), kRelaxed); }
  // Never backwards.
  void raise_to(Clock::time_point time) {
    const auto wanted = time.time_since_epoch().count();
    for (auto now = value_.load(kRelaxed); now < wanted;) {
      if (value_.compare_exchange_weak(now, wanted, kRelaxed)) return;
    }
  }
  // Sets it if it was never set; what it is then.
  Clock::time_point get_or_set(Clock::time_point time) {
    Clock::rep never = 0;
    const auto wanted = time.time_since_epoch().count();
    if (value_.load(kRelaxed) == 0 && value_.compare_exchange_strong(never, wanted, kRelaxed)) return time;
    return get();
  }

 private:
  static constexpr auto kRelaxed = std::memory_order_relaxed;
  std::atomic<Clock::rep> value_{0};
};

// One endpoint of a port with outlier detection or warm-up.
struct HostHealth : RefCounted {
  struct State {
    std::atomic<uint32_t> errors_5xx{0};  // in a row, as the next ones
    std::atomic<uint32_t> gateway_errors{0};
    std::atomic<uint32_t> local_failures{0};
    std::atomic<uint32_t> ejections{0};  // what the time of the next one is multiplied by, before it is less 1 for each
                                         // interval since the last one ended
    SharedTime out_until;
    SharedTime joined;
  };
  mutable State state;
};

// A number at once, of all workers, with a bound that is never passed.
class SharedGauge {
 public:
  // False: there are `most` already. 0: no bound.
  [[nodiscard]] bool enter(uint32_t most) {
    for (uint32_t now = value_.load(std::memory_order_relaxed); most == 0 || now < most;) {
      if (value_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) return true;
    }
    return false;
  }
  void leave() { value_.fetch_sub(1, std::memory_order_relaxed); }
  [[nodiscard]] uint32_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> value_{0};
};

// Who waits for something to be given back, on any worker.
class SharedWaits {
 public:
  // `wake` is called once, by whoever gives something back, on that thread.
  void add(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wakes_.push_back(std::move(wake));
    any_.store(true);
  }
  [[nodiscard]] bool any() const { return any_.load(); }
  void wake_all() {
    if (!any()) return;
    std::vector<std::function<void()>> wakes;
    {
      const std::lock_guard lock(mutex_);
      wakes.swap(wakes_);
      any_.store(false);
    }
    for (const auto& wake : wakes) wake();
  }

 private:
  std::mutex mutex_;
  std::vector<std::function<void()>> wakes_;
  std::atomic<bool> any_{false};
};

// The endpoints of one port, of the whole Service or of a subset, in both address families: what Envoy calls a cluster.
struct LivePool : RefCounted {
  struct State {
    SharedGauge connections;
    SharedGauge pending;  // requests that wait for a connection
    SharedGauge requests;
    SharedGauge retries;
    SharedWaits freed;     // of a connection's place
    SharedTime out_until;  // of any endpoint, the last
    // For the counters.
    std::atomic<uint64_t> ejections{0};
    std::array<std::atomic<uint64_t>, 4> refused{};  // by Limit (balance/admission.h)
  };
  mutable State state;
};

}  // namespace leat::proxy
