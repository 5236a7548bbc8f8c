#include "userspace-proxy/ring/loop.h"

#include <thread>
#include <vector>

#include "ring_testing.h"

namespace leat::ring {
namespace {

using namespace testing;
using std::chrono::milliseconds;

TEST_CASE("sleepers wake in the order of their deadlines") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  std::vector<int> order;
  auto sleeper = [](Loop& on, int ms, std::vector<int>& woken) -> Task<void> {
    co_await on.sleep_until(on.now() + milliseconds(ms));
    woken.push_back(ms);
  };
  start(sleeper(*loop, 15, order));
  start(sleeper(*loop, 5, order));
  run(*loop, sleeper(*loop, 30, order));
  CHECK(order == std::vector{5, 15, 30});
}

TEST_CASE("posts of several threads all run, each thread's in its order") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  constexpr int kThreads = 4;
  constexpr int kPosts = 5'000;
  std::vector<int> last(kThreads, -1);
  int left = kThreads * kPosts;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPosts; ++i) {
        loop->post([&, t, i] {
          CHECK(last[static_cast<size_t>(t)] == i - 1);
          last[static_cast<size_t>(t)] = i;
          if (--left == 0) loop->stop();
        });
      }
    });
  }
  loop->run();
  for (auto& thread : threads) thread.join();
  CHECK(left == 0);
}

TEST_CASE("a post wakes a loop that sleeps without a deadline") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  for (int round = 0; round < 200; ++round) {
    std::thread poster([&] { loop->stop(); });
    loop->run();
    poster.join();
  }
}

TEST_CASE("a hook runs once a turn, before the loop sleeps, and leaves when destroyed") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  struct Counting : TurnHook {
    int calls = 0;
    void turn_end() override { ++calls; }
  };
  Counting once;
  {
    Counting gone;
    loop->at_turn_end(gone);
    loop->at_turn_end(once);
    loop->at_turn_end(once);
  }
  run(*loop, [](Loop& on, Counting& hook) -> Task<void> {
    co_await on.sleep_until(on.now() + milliseconds(2));
    CHECK(hook.calls == 1);
    on.at_turn_end(hook);
    co_await on.sleep_until(on.now() + milliseconds(2));
    CHECK(hook.calls == 2);
  }(*loop, once));
}

}  // namespace
}  // namespace leat::ring
