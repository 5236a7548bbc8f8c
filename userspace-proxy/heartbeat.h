// When each worker's loop last turned: written by the workers, read by the supervisor, in memory that both processes
// share.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>

#include "common/check.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {

class Heartbeat {
 public:
  Heartbeat() {
    void* memory = mmap(nullptr, sizeof(Beats), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    LEAT_CHECK(memory != MAP_FAILED, "no memory for the heartbeat");
    beats_ = new (memory) Beats();
  }
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  ~Heartbeat() { munmap(beats_, sizeof(Beats)); }

  void beat(size_t worker) { (*beats_)[worker].store(now_ms(), std::memory_order_relaxed); }
  void forget() {
    for (auto& beat : *beats_) beat.store(0, std::memory_order_relaxed);
  }
  // How long ago the worker that is furthest behind turned; 0 while none has begun.
  [[nodiscard]] std::chrono::milliseconds oldest() const {
    int64_t oldest = 0;
    for (const auto& beat : *beats_) {
      const int64_t at = beat.load(std::memory_order_relaxed);
      if (at != 0) oldest = std::max(oldest, now_ms() - at);
    }
    return std::chrono::milliseconds(oldest);
  }

 private:
  using Beats = std::array<std::atomic<int64_t>, limits::kMaxWorkers>;
  static_assert(std::atomic<int64_t>::is_always_lock_free);  // or it would not work between processes

  static int64_t now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch()).count();
  }

  Beats* beats_;
};

}  // namespace leat::proxy
