#include "userspace-proxy/ring/timer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace leat::ring {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr Clock::time_point kStart{hours(1000)};

TEST_CASE("timers fire in the order of their deadlines, never early, never more than a tick late") {
  std::mt19937_64 random(7);
  for (const int64_t span_ms : {50, 5'000, 500'000, 90'000'000}) {
    TimerWheel wheel(kStart);
    Clock::time_point now = kStart;
    std::vector<std::unique_ptr<Timer>> timers;
    int fired = 0;
    Clock::time_point last{};
    for (int i = 0; i < 500; ++i) {
      const auto deadline = kStart + std::chrono::microseconds(random() % static_cast<uint64_t>(span_ms * 1000));
      timers.push_back(std::make_unique<Timer>(wheel, [&, deadline] {
        ++fired;
        CHECK(now >= deadline);
        CHECK(now - deadline <= milliseconds(2));
        CHECK(deadline >= last - milliseconds(1));
        last = deadline;
      }));
      timers.back()->arm(deadline);
    }
    while (wheel.armed() > 0) {
      CHECK(wheel.next() > now);
      now = wheel.next();
      wheel.advance(now);
    }
    CHECK(fired == 500);
  }
}

TEST_CASE("a wheel that sleeps past many deadlines fires all of them in order") {
  TimerWheel wheel(kStart);
  std::vector<int> order;
  std::vector<std::unique_ptr<Timer>> timers;
  for (const int ms : {70'000, 3, 4'100, 64, 63, 1}) {
    timers.push_back(std::make_unique<Timer>(wheel, [&order, ms] { order.push_back(ms); }));
    timers.back()->arm(kStart + milliseconds(ms));
  }
  wheel.advance(kStart + hours(1));
  CHECK(order == std::vector{1, 3, 63, 64, 4'100, 70'000});
  CHECK(wheel.next() == Clock::time_point::max());
}

TEST_CASE("a callback may cancel, destroy and arm timers of its own tick") {
  TimerWheel wheel(kStart);
  int fired = 0;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 3; ++i) {
    timers.push_back(std::make_unique<Timer>(wheel, [&, i] {
      ++fired;
      timers[static_cast<size_t>((i + 1) % 3)].reset();
      timers[static_cast<size_t>((i + 2) % 3)]->cancel();
      timers[static_cast<size_t>(i)]->arm(kStart + milliseconds(200));
    }));
    timers.back()->arm(kStart + milliseconds(100));
  }
  wheel.advance(kStart + milliseconds(100));
  CHECK(fired == 1);
  CHECK(wheel.armed() == 1);
  CHECK(wheel.next() > kStart + milliseconds(100));
}

TEST_CASE("a deadline in the past fires at the next tick, one beyond the wheel's reach never early") {
  TimerWheel wheel(kStart);
  bool past = false;
  bool far = false;
  Timer a(wheel, [&] { past = true; });
  Timer b(wheel, [&] { far = true; });
  a.arm(kStart - hours(5));
  b.arm(Clock::time_point::max());
  wheel.advance(kStart + milliseconds(1));
  CHECK(past);
  wheel.advance(kStart + hours(24 * 365));
  CHECK_FALSE(far);
  b.cancel();
  CHECK(wheel.armed() == 0);
}

TEST_CASE("arming and cancelling at random keeps the count and leaves nothing behind") {
  std::mt19937_64 random(11);
  TimerWheel wheel(kStart);
  Clock::time_point now = kStart;
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 200; ++i) timers.push_back(std::make_unique<Timer>(wheel, [] {}));
  for (int i = 0; i < 20'000; ++i) {
    Timer& timer = *timers[random() % timers.size()];
    switch (random() % 4) {
      case 0:
        timer.cancel();
        break;
      case 1:
        wheel.advance(now += milliseconds(random() % 300));
        break;
      default:
        timer.arm(now + milliseconds(random() % 10'000));
        break;
    }
    CHECK(wheel.armed() ==
          static_cast<size_t>(std::ranges::count_if(timers, [](const auto& each) { return each->armed(); })));
  }
}

}  // namespace
}  // namespace leat::ring
