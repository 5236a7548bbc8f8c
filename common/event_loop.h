// An epoll loop with timers for one thread that is not on the data path: the agent's, and the proxy's control thread.
// Handlers run one at a time, in the order in which their descriptors were added, so that the same events lead to the
// same order of actions.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "common/result.h"
#include "common/unique_fd.h"

namespace leat {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;
  using Handler = std::function<void(uint32_t events)>;
  using TimerId = uint64_t;  // 0 is never one

  static Result<std::unique_ptr<EventLoop>> make();

  // Calls `handler` with the epoll events of `fd` (level-triggered). The caller keeps the descriptor open until
  // forget().
  void watch(int fd, uint32_t events, Handler handler);
  void set_events(int fd, uint32_t events);
  void forget(int fd);  // allowed inside any handler; the descriptor's pending events are dropped

  TimerId after(std::chrono::milliseconds delay, std::function<void()> handler);
  void cancel(TimerId timer);  // 0, or one that has fired, is ignored

  void run();                                        // until stop()
  void run_once(std::chrono::milliseconds longest);  // one wait and what it brings: for tests
  void stop() { stopped_ = true; }

 private:
  struct Watch {
    uint64_t number;
    Handler handler;
  };
  struct Timer {
    TimerId id;
    std::function<void()> handler;
  };

  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  [[nodiscard]] int wait_ms(std::chrono::milliseconds longest) const;
  void fire_timers();

  UniqueFd epoll_;
  bool stopped_ = false;
  uint64_t next_number_ = 1;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::multimap<Clock::time_point, Timer> timers_;
};

}  // namespace leat
