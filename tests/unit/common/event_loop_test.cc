#include "common/event_loop.h"

#include <sys/eventfd.h>

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using leat::EventLoop;
using leat::UniqueFd;

namespace {
UniqueFd ready_event() { return UniqueFd(eventfd(1, EFD_NONBLOCK)); }
}  // namespace

TEST_CASE("handlers of one turn run in the order in which their descriptors were added") {
  auto loop = *EventLoop::make();
  const UniqueFd a = ready_event(), b = ready_event(), c = ready_event();
  std::string order;
  loop->watch(c.get(), EPOLLIN, [&](uint32_t) { order += 'c'; });
  loop->watch(a.get(), EPOLLIN, [&](uint32_t) { order += 'a'; });
  loop->watch(b.get(), EPOLLIN, [&](uint32_t) { order += 'b'; });
  loop->run_once(0ms);
  CHECK(order == "cab");
}

TEST_CASE("a descriptor that a handler forgets is not called any more, nor is another that took its number") {
  auto loop = *EventLoop::make();
  const UniqueFd a = ready_event();
  UniqueFd b = ready_event();
  const int number = b.get();
  int old_calls = 0, new_calls = 0;
  loop->watch(a.get(), EPOLLIN, [&](uint32_t) {
    if (!b) return;
    loop->forget(number);
    b.reset();
    b = ready_event();
    REQUIRE(b.get() == number);
    loop->watch(number, EPOLLIN, [&](uint32_t) { ++new_calls; });
    loop->forget(a.get());
  });
  loop->watch(number, EPOLLIN, [&](uint32_t) { ++old_calls; });
  loop->run_once(0ms);
  CHECK(old_calls == 0);
  CHECK(new_calls == 0);
  loop->run_once(0ms);
  CHECK(new_calls == 1);
}

TEST_CASE("timers fire in the order of their times, and a cancelled one never") {
  auto loop = *EventLoop::make();
  std::string order;
  loop->after(2ms, [&] { order += '2'; });
  const auto cancelled = loop->after(1ms, [&] { order += 'x'; });
  loop->after(1ms, [&] { order += '1'; });
  loop->after(3ms, [&] { loop->stop(); });
  loop->cancel(cancelled);
  loop->run();
  CHECK(order == "12");
}
