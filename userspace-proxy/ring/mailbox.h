// Work that other threads hand to a loop: a lock-free stack of nodes, taken whole by the owner and turned round, with
// one eventfd wake-up for as many posts as happen while the owner has not looked.
#pragma once

#include <atomic>
#include <functional>

#include "common/unique_fd.h"

namespace leat::ring {

class Mailbox {
 public:
  Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  void post(std::function<void()> work);  // any thread
  void run_all();                         // the owner: runs, in the order of posting, what is there now

  // Signals readiness to an edge-triggered watcher at each wake-up; nobody reads it.
  [[nodiscard]] int wake_fd() const { return wake_fd_.get(); }

 private:
  struct Letter {
    std::function<void()> work;
    Letter* next;
  };
  UniqueFd wake_fd_;
  std::atomic<Letter*> newest_ = nullptr;
};

}  // namespace leat::ring
