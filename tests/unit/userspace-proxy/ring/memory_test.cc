// What an idle connection costs in user space. Counts what passes operator new, which is all of it but malloc's own
// 8–16 bytes a block.
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "ring_testing.h"
#include "userspace-proxy/ring/relay.h"

namespace {
std::atomic<size_t> live_bytes = 0;
constexpr size_t kHeader = 16;
}  // namespace

void* operator new(size_t size) {
  auto* block = static_cast<char*>(std::malloc(size + kHeader));
  if (!block) std::abort();
  *reinterpret_cast<size_t*>(block) = size;
  live_bytes += size;
  return block + kHeader;
}
void operator delete(void* pointer) noexcept {
  if (!pointer) return;
  char* block = static_cast<char*>(pointer) - kHeader;
  live_bytes -= *reinterpret_cast<size_t*>(block);
  std::free(block);
}
void operator delete(void* pointer, size_t) noexcept { operator delete(pointer); }

namespace leat::ring {
namespace {

using namespace testing;

TEST_CASE("an idle relayed connection costs at most 1.5 KB of user-space memory") {
  BOTH_BACK_ENDS(kind)
  constexpr size_t kConnections = 100;
  auto loop = make_loop(kind);
  std::vector<std::pair<UniqueFd, UniqueFd>> near(kConnections);
  std::vector<std::pair<UniqueFd, UniqueFd>> far(kConnections);
  for (auto& pair : near) pair = tcp_pair();
  for (auto& pair : far) pair = tcp_pair();
  size_t open = kConnections;
  size_t idle = 0;
  run(*loop, [](Loop& on, auto& left, auto& right, size_t& count, size_t& measured) -> Task<void> {
    // One exchange each, so that what is kept of past bytes is seen too.
    const size_t before = live_bytes;
    for (size_t i = 0; i < left.size(); ++i) {
      start([](Loop& loop_of, UniqueFd a, UniqueFd b, size_t& still) -> Task<void> {
        Socket x(loop_of, std::move(a));
        Socket y(loop_of, std::move(b));
        RelayCounters counters;
        static_cast<void>(co_await relay(x, y, counters));
        --still;
      }(on, std::move(left[i].second), std::move(right[i].second), count));
      REQUIRE(::send(left[i].first.get(), "x", 1, 0) == 1);
    }
    for (auto& [client, gone] : right) {
      Socket end(on, UniqueFd(::dup(client.get())));
      CHECK(text(*co_await end.recv()) == "x");
    }
    measured = (live_bytes - before) / left.size();
    left.clear();
    right.clear();
    while (count > 0) co_await on.sleep_until(on.now() + std::chrono::milliseconds(1));
  }(*loop, near, far, open, idle));
  MESSAGE("idle relayed connection: " << idle << " bytes");
  CHECK(idle <= 1500);
}

}  // namespace
}  // namespace leat::ring
