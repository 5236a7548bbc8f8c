// Handshakes are the one thing here that is expensive at once (about 740 µs of CPU each side). The gate lets a few of
// their steps pass in a loop turn and keeps the others, first come first served, for later turns: a burst of new
// tunnels slows itself down, not the streams of the open ones.
#pragma once

#include "userspace-proxy/flow/wait_queue.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class HandshakeGate {
 public:
  explicit HandshakeGate(ring::Loop& loop) : loop_(loop) {}

  // Ends when the caller may do one step; false at `deadline`.
  ring::Task<bool> pass(ring::Clock::time_point deadline) {
    if (waiting_.empty() && take()) co_return true;
    if (!scheduled_) schedule();
    co_return co_await waiting_.wait(loop_, deadline);
  }

 private:
  bool take() {
    const uint64_t turn = loop_.counters().turns;
    if (turn != turn_) turn_ = turn, passed_ = 0;
    return passed_ < limits::kHandshakeStepsATurn && ++passed_ > 0;
  }
  void schedule() {
    scheduled_ = true;
    loop_.post([this] {
      scheduled_ = false;
      while (!waiting_.empty() && take()) waiting_.wake_one();
      if (!waiting_.empty() && !scheduled_) schedule();
    });
  }

  ring::Loop& loop_;
  WaitQueue waiting_;
  uint64_t turn_ = 0;
  uint32_t passed_ = 0;
  bool scheduled_ = false;
};

}  // namespace leat::proxy
