// co_await when_blocks(loop, write): runs `write`, which is false where the buffer pool is dry, until it succeeds.
#pragma once

#include <coroutine>
#include <optional>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/loop.h"

namespace leat::proxy {

template <typename Write>
class WhenBlocks {
 public:
  WhenBlocks(ring::Loop& loop, Write write) : loop_(loop), write_(std::move(write)) {}

  [[nodiscard]] bool await_ready() { return write_(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    retry_.emplace(loop_.timers(), [this] { write_() ? waiter_.resume() : later(); });
    later();
  }
  static void await_resume() {}

 private:
  void later() { retry_->arm(loop_.now() + limits::kDryPoolRetry); }

  ring::Loop& loop_;
  Write write_;
  std::coroutine_handle<> waiter_;
  std::optional<ring::Timer> retry_;
};

template <typename Write>
WhenBlocks<Write> when_blocks(ring::Loop& loop, Write write) {
  return {loop, std::move(write)};
}

}  // namespace leat::proxy
