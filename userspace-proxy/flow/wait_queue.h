// Coroutines that wait for one thing, first come first served, each until its own deadline.
#pragma once

#include <coroutine>

#include "userspace-proxy/ring/loop.h"

namespace leat::proxy {

class WaitQueue {
 public:
  class Wait;

  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  // co_await → true: woken; false: `deadline` passed.
  [[nodiscard]] Wait wait(ring::Loop& loop, ring::Clock::time_point deadline);

  // Resumes the first waiter inside the call, if there is one.
  bool wake_one();
  // Resumes those that wait now; one that waits again is not woken again.
  void wake_all();
  [[nodiscard]] bool empty() const { return first_ == nullptr; }

 private:
  Wait* first_ = nullptr;
  Wait* last_ = nullptr;
};

class WaitQueue::Wait {
 public:
  Wait(WaitQueue& queue, ring::Loop& loop, ring::Clock::time_point deadline)
      : queue_(&queue), deadline_(deadline), timer_(loop.timers(), [this] { expire(); }) {}
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  [[nodiscard]] static bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    previous_ = queue_->last_;
    (previous_ ? previous_->next_ : queue_->first_) = this;
    queue_->last_ = this;
    timer_.arm(deadline_);
  }
  [[nodiscard]] bool await_resume() const { return woken_; }

 private:
  friend class WaitQueue;
  void leave() {
    (previous_ ? previous_->next_ : queue_->first_) = next_;
    (next_ ? next_->previous_ : queue_->last_) = previous_;
    previous_ = next_ = nullptr;
  }
  void expire() {
    leave();
    waiter_.resume();
  }

  WaitQueue* queue_;
  ring::Clock::time_point deadline_;
  ring::Timer timer_;
  std::coroutine_handle<> waiter_;
  Wait* next_ = nullptr;
  Wait* previous_ = nullptr;
  bool woken_ = false;
};

inline WaitQueue::Wait WaitQueue::wait(ring::Loop& loop, ring::Clock::time_point deadline) {
  return {*this, loop, deadline};
}

inline bool WaitQueue::wake_one() {
  Wait* first = first_;
  if (!first) return false;
  first->leave();
  first->timer_.cancel();
  first->woken_ = true;
  first->waiter_.resume();
  return true;
}

inline void WaitQueue::wake_all() {
  WaitQueue woken;
  std::swap(woken.first_, first_);
  std::swap(woken.last_, last_);
  for (Wait* wait = woken.first_; wait; wait = wait->next_) wait->queue_ = &woken;
  while (woken.wake_one()) {
  }
}

}  // namespace leat::proxy
