#include "common/event_loop.h"

#include <algorithm>
#include <array>
#include <vector>

#include "common/check.h"

namespace leat {

Result<std::unique_ptr<EventLoop>> EventLoop::make() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "making an epoll instance");
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(epoll)));
}

void EventLoop::watch(int fd, uint32_t events, Handler handler) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  LEAT_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0, "a descriptor can't be watched");
  watches_[fd] = std::make_shared<Watch>(next_number_++, std::move(handler));
}

void EventLoop::set_events(int fd, uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  LEAT_CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0, "a watched descriptor was closed");
}

void EventLoop::forget(int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(fd);
}

EventLoop::TimerId EventLoop::after(std::chrono::milliseconds delay, std::function<void()> handler) {
  const TimerId id = next_number_++;
  timers_.emplace(Clock::now() + delay, Timer{id, std::move(handler)});
  return id;
}

void EventLoop::cancel(TimerId timer) {
  if (timer == 0) return;
  const auto found = std::ranges::find_if(timers_, [&](const auto& entry) { return entry.second.id == timer; });
  if (found != timers_.end()) timers_.erase(found);
}

void EventLoop::run() {
  while (!stopped_) run_once(std::chrono::hours(1));
}

void EventLoop::run_once(std::chrono::milliseconds longest) {
  std::array<epoll_event, 64> ready{};
  const int count = epoll_wait(epoll_.get(), ready.data(), ready.size(), wait_ms(longest));

  struct Pending {
    int fd;
    uint32_t events;
    std::shared_ptr<Watch> watch;
  };
  std::vector<Pending> pending;
  for (int i = 0; i < count; ++i) {
    const int fd = ready[static_cast<size_t>(i)].data.fd;
    if (const auto found = watches_.find(fd); found != watches_.end()) {
      pending.push_back({fd, ready[static_cast<size_t>(i)].events, found->second});
    }
  }
  std::ranges::sort(pending, {}, [](const Pending& entry) { return entry.watch->number; });
  for (const Pending& entry : pending) {
    // An earlier handler may have forgotten this descriptor, or its number may belong to another by now.
    const auto found = watches_.find(entry.fd);
    if (found != watches_.end() && found->second == entry.watch) entry.watch->handler(entry.events);
  }
  fire_timers();
}

int EventLoop::wait_ms(std::chrono::milliseconds longest) const {
  if (stopped_) return 0;
  if (timers_.empty()) return static_cast<int>(longest.count());
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - Clock::now());
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds(0), longest).count());
}

void EventLoop::fire_timers() {
  const auto now = Clock::now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto handler = std::move(timers_.begin()->second.handler);
    timers_.erase(timers_.begin());
    handler();
  }
}

}  // namespace leat
