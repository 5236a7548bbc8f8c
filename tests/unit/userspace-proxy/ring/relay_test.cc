#include "userspace-proxy/ring/relay.h"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "ring_testing.h"

namespace leat::ring {
namespace {

using namespace testing;
using std::chrono::milliseconds;

// A relay between two connections whose far ends the test holds as blocking descriptors, on a loop with a thread of its
// own.
struct Relayed {
  UniqueFd client;
  UniqueFd server;
  RelayCounters counters;
  RelayResult result;

  explicit Relayed(BackendKind kind, LoopOptions options = {}) {
    auto [client_end, a] = tcp_pair();
    auto [server_end, b] = tcp_pair();
    client = std::move(client_end);
    server = std::move(server_end);
    thread_ = std::thread([this, kind, options, near = a.release(), far = b.release()] {
      auto loop = make_loop(kind, options);
      run(*loop, [](Loop& on, int x, int y, Relayed& self) -> Task<void> {
        Socket left(on, UniqueFd(x));
        Socket right(on, UniqueFd(y));
        self.result = co_await relay(left, right, self.counters);
      }(*loop, near, far, *this));
      CHECK(loop->buffers().free_blocks() + lent_at_most(options) >= options.buffer_blocks);
    });
  }
  ~Relayed() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::thread thread_;
};

std::string read_some(int fd) {
  std::string buffer(65536, '\0');
  const ssize_t got = ::read(fd, buffer.data(), buffer.size());
  buffer.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return buffer;
}

// 0: the end; else the errno that read() gave.
int read_to_end(int fd, std::string* all = nullptr) {
  std::string buffer(65536, '\0');
  for (;;) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got == 0) return 0;
    if (got < 0) return errno;
    if (all) all->append(buffer, 0, static_cast<size_t>(got));
  }
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    REQUIRE(put > 0);
    text.remove_prefix(static_cast<size_t>(put));
  }
}

TEST_CASE("a half-close of either side is kept, and the other direction goes on") {
  BOTH_BACK_ENDS(kind)
  for (const bool client_first : {true, false}) {
    Relayed relayed(kind);
    const int first = client_first ? relayed.client.get() : relayed.server.get();
    const int second = client_first ? relayed.server.get() : relayed.client.get();
    write_all(first, "request");
    ::shutdown(first, SHUT_WR);
    std::string request;
    CHECK(read_to_end(second, &request) == 0);
    CHECK(request == "request");
    for (int i = 0; i < 3; ++i) {
      write_all(second, "part");
      CHECK(read_some(first) == "part");
    }
    ::shutdown(second, SHUT_WR);
    CHECK(read_to_end(first) == 0);
    relayed.join();
    CHECK(relayed.result.end == RelayResult::End::kFinished);
    CHECK(relayed.counters.a_to_b + relayed.counters.b_to_a == 19);
  }
}

TEST_CASE("a reset of either side becomes a reset of the other") {
  BOTH_BACK_ENDS(kind)
  for (const bool client_resets : {true, false}) {
    for (const bool half_closed_before : {false, true}) {
      Relayed relayed(kind);
      UniqueFd& dying = client_resets ? relayed.client : relayed.server;
      UniqueFd& other = client_resets ? relayed.server : relayed.client;
      write_all(dying.get(), "x");
      CHECK(read_some(other.get()) == "x");
      if (half_closed_before) {
        ::shutdown(dying.get(), SHUT_WR);
        CHECK(read_to_end(other.get()) == 0);
      }
      reset_on_close(dying.get());
      dying.reset();
      if (half_closed_before) {
        pollfd poll{.fd = other.get()};
        CHECK(::poll(&poll, 1, 5000) == 1);
        CHECK((poll.revents & POLLERR) != 0);
      } else {
        CHECK(read_to_end(other.get()) == ECONNRESET);
      }
      relayed.join();
      CHECK(relayed.result.end == (client_resets ? RelayResult::End::kAFailed : RelayResult::End::kBFailed));
      CHECK(relayed.result.error == ECONNRESET);
    }
  }
}

TEST_CASE("what a server sent before it reset an upload reaches the client, then the reset") {
  BOTH_BACK_ENDS(kind)
  Relayed relayed(kind);
  write_all(relayed.client.get(), "an upload that nobody reads");
  pollfd arrived{.fd = relayed.server.get(), .events = POLLIN};
  REQUIRE(::poll(&arrived, 1, 5000) == 1);
  write_all(relayed.server.get(), "413 too large");
  CHECK(read_some(relayed.client.get()) == "413 too large");
  relayed.server.reset();  // with unread bytes: the kernel sends a reset
  CHECK(read_to_end(relayed.client.get()) == ECONNRESET);
}

// Pseudo-random bytes that both ends can make by position.
uint8_t byte_at(uint64_t position) { return static_cast<uint8_t>((position * 0x9E3779B97F4A7C15ull) >> 56); }

void pump(int fd, uint64_t total) {
  std::vector<uint8_t> block(1 << 18);
  for (uint64_t sent = 0; sent < total;) {
    const auto part = std::min<uint64_t>(block.size(), total - sent);
    for (uint64_t i = 0; i < part; ++i) block[i] = byte_at(sent + i);
    write_all(fd, {reinterpret_cast<const char*>(block.data()), part});
    sent += part;
  }
  ::shutdown(fd, SHUT_WR);
}

uint64_t drain(int fd, milliseconds pause = {}) {
  std::vector<uint8_t> block(1 << 18);
  uint64_t received = 0;
  for (;;) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got <= 0) return received;
    for (ssize_t i = 0; i < got; ++i) {
      if (block[static_cast<size_t>(i)] != byte_at(received + static_cast<uint64_t>(i))) return 0;
    }
    received += static_cast<uint64_t>(got);
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
  }
}

TEST_CASE("a gibibyte goes through unchanged, both ways at once") {
  BOTH_BACK_ENDS(kind)
  constexpr uint64_t kHalf = 512u << 20;
  Relayed relayed(kind);
  std::thread up([&] { pump(relayed.client.get(), kHalf); });
  std::thread down([&] { pump(relayed.server.get(), kHalf); });
  uint64_t at_server = 0;
  std::thread reader([&] { at_server = drain(relayed.server.get()); });
  CHECK(drain(relayed.client.get()) == kHalf);
  up.join(), down.join(), reader.join();
  relayed.join();
  CHECK(at_server == kHalf);
  CHECK(relayed.counters.a_to_b == kHalf);
  CHECK(relayed.counters.b_to_a == kHalf);
  CHECK(relayed.result.end == RelayResult::End::kFinished);
}

TEST_CASE("a slow reader holds its sender back: the pool of eight blocks is never exceeded and nothing is lost") {
  BOTH_BACK_ENDS(kind)
  constexpr uint64_t kTotal = 64u << 20;
  Relayed relayed(kind, {.buffer_blocks = 8, .standing_blocks = 4, .reserve_blocks = 0});
  const int small = 65536;
  ::setsockopt(relayed.server.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  std::thread up([&] { pump(relayed.client.get(), kTotal); });
  CHECK(drain(relayed.server.get()) == kTotal);
  up.join();
  ::shutdown(relayed.server.get(), SHUT_WR);
  relayed.join();
  CHECK(relayed.counters.a_to_b == kTotal);
}

TEST_CASE("two hundred relays share four blocks: all starve, all finish") {
  BOTH_BACK_ENDS(kind)
  constexpr int kRelays = 200;
  constexpr int kWriters = 20;
  constexpr uint64_t kEach = 1 << 20;
  auto loop = make_loop(kind, {.buffer_blocks = 4, .standing_blocks = 2, .reserve_blocks = 0});
  struct One {
    UniqueFd client, server;
    RelayCounters counters;
  };
  std::vector<One> all(kRelays);
  int open = kRelays;
  for (One& one : all) {
    auto [client, a] = tcp_pair();
    auto [server, b] = tcp_pair();
    one.client = std::move(client);
    one.server = std::move(server);
    const int small = 65536;
    ::setsockopt(one.server.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    ::setsockopt(b.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    start([](Loop& on, UniqueFd x, UniqueFd y, One& of, int& left) -> Task<void> {
      Socket near(on, std::move(x));
      Socket far(on, std::move(y));
      const RelayResult result = co_await relay(near, far, of.counters);
      CHECK(result.end == RelayResult::End::kFinished);
      if (--left == 0) on.stop();
    }(*loop, std::move(a), std::move(b), one, open));
  }
  std::vector<std::thread> threads;
  uint64_t intact = 0;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&all, writer] {
      std::vector<uint8_t> block(kEach);
      for (uint64_t i = 0; i < kEach; ++i) block[i] = byte_at(i);
      for (size_t i = static_cast<size_t>(writer); i < all.size(); i += kWriters) {
        write_all(all[i].client.get(), {reinterpret_cast<const char*>(block.data()), kEach});
        ::shutdown(all[i].client.get(), SHUT_WR);
      }
    });
  }
  // Nobody reads until the blocks have run out; then whatever is there is read, so that no relay keeps a block that
  // others need.
  std::promise<void> starved;
  start([](Loop& on, std::promise<void>& told) -> Task<void> {
    while (on.counters().starved_turns == 0) co_await on.sleep_until(on.now() + milliseconds(1));
    told.set_value();
  }(*loop, starved));
  threads.emplace_back([&] {
    starved.get_future().wait();
    std::vector<pollfd> polls;
    for (One& one : all) polls.push_back({.fd = one.server.get(), .events = POLLIN});
    std::vector<uint64_t> received(kRelays);
    std::vector<uint8_t> block(8192);
    for (int left = kRelays; left > 0;) {
      if (::poll(polls.data(), polls.size(), 10'000) <= 0) break;
      for (size_t i = 0; i < polls.size(); ++i) {
        if (polls[i].fd < 0 || polls[i].revents == 0) continue;
        const ssize_t got = ::read(polls[i].fd, block.data(), block.size());
        bool good = got > 0;
        for (ssize_t j = 0; j < got; ++j) good = good && block[static_cast<size_t>(j)] == byte_at(received[i]++);
        if (good) continue;
        intact += got == 0 && received[i] == kEach ? 1 : 0;
        ::shutdown(polls[i].fd, SHUT_WR);
        polls[i].fd = -1;
        --left;
      }
    }
  });
  loop->run();
  for (auto& thread : threads) thread.join();
  CHECK(intact == kRelays);
}

TEST_CASE("a relay that is reset from outside says so") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  auto [client, a] = tcp_pair();
  auto [server, b] = tcp_pair();
  Socket near(*loop, std::move(a));
  Socket far(*loop, std::move(b));
  loop->post([&] { near.reset(), far.reset(); });
  run(*loop, [](Socket& x, Socket& y) -> Task<void> {
    RelayCounters counters;
    const RelayResult result = co_await relay(x, y, counters);
    CHECK(result.end == RelayResult::End::kCancelled);
  }(near, far));
  CHECK(read_to_end(client.get()) == ECONNRESET);
  CHECK(read_to_end(server.get()) == ECONNRESET);
}

}  // namespace
}  // namespace leat::ring
