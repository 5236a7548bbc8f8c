#include "userspace-proxy/ring/acceptor.h"

#include <poll.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ring_testing.h"

namespace leat::ring {
namespace {

using namespace testing;
using std::chrono::milliseconds;

UniqueFd duplicate(const Listener& listener) { return UniqueFd(::dup(listener.fd.get())); }

TEST_CASE("two thousand connections are accepted and each is served") {
  BOTH_BACK_ENDS(kind)
  constexpr int kConnections = 2'000;
  auto loop = make_loop(kind);
  const Listener listener;
  int served = 0;
  Acceptor acceptor(
      *loop, duplicate(listener),
      [&](UniqueFd fd) {
        start([](Loop& on, UniqueFd connection, int& count) -> Task<void> {
          Socket socket(on, std::move(connection));
          auto got = co_await socket.recv();
          if (got && co_await socket.send(std::move(*got))) ++count;
        }(*loop, std::move(fd), served));
      },
      [](int error) { FAIL(error); });
  acceptor.arm();
  std::thread clients([&] {
    std::vector<UniqueFd> open;
    for (int i = 0; i < kConnections; ++i) open.push_back(dial(listener.address));
    int answered = 0;
    for (const UniqueFd& fd : open) ::send(fd.get(), "x", 1, MSG_NOSIGNAL);
    for (const UniqueFd& fd : open) {
      char byte;
      answered += ::recv(fd.get(), &byte, 1, 0) == 1 ? 1 : 0;
    }
    CHECK(answered == kConnections);
    loop->post([&] {
      start([](Acceptor& door, Loop& on) -> Task<void> {
        co_await door.disarm();
        on.stop();
      }(acceptor, *loop));
    });
  });
  loop->run();
  clients.join();
  CHECK(served == kConnections);
}

TEST_CASE("disarming and arming five hundred times under load loses no connection") {
  BOTH_BACK_ENDS(kind)
  constexpr int kRounds = 500;
  auto loop = make_loop(kind);
  const Listener listener;
  std::atomic<bool> enough = false;
  std::atomic<bool> done = false;
  int dialled = 0;
  std::thread clients([&] {
    while (!enough) {
      const UniqueFd fd = dial(listener.address);
      char byte;
      CHECK(::recv(fd.get(), &byte, 1, 0) == 1);  // whoever was accepted is answered
      ++dialled;
    }
    done = true;
  });
  int taken = 0;
  run(*loop, [](Loop& on, const Listener& of, int& count) -> Task<void> {
    for (int round = 0; round < kRounds; ++round) {
      Acceptor acceptor(
          on, duplicate(of),
          [&count](UniqueFd fd) {
            ++count;
            ::send(fd.get(), "x", 1, MSG_NOSIGNAL);
          },
          [](int error) { FAIL(error); });
      acceptor.arm();
      const int before = count;
      while (count == before) co_await on.sleep_until(on.now() + milliseconds(1));
      co_await acceptor.disarm();
      CHECK_FALSE(acceptor.armed());
    }
  }(*loop, listener, taken));
  enough = true;
  while (!done) {  // the backlog keeps what came while nobody was armed
    pollfd waiting{.fd = listener.fd.get(), .events = POLLIN};
    if (::poll(&waiting, 1, 10) != 1) continue;
    ::send(listener.accept().get(), "x", 1, MSG_NOSIGNAL);
    ++taken;
  }
  clients.join();
  CHECK(taken >= kRounds);
  CHECK(taken == dialled);
}

TEST_CASE("a listener that is killed is reported once") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  const Listener listener;
  std::vector<int> deaths;
  Acceptor acceptor(
      *loop, duplicate(listener), [](UniqueFd) {},
      [&](int error) {
        deaths.push_back(error);
        loop->stop();
      });
  acceptor.arm();
  loop->post([&] { ::shutdown(listener.fd.get(), SHUT_RDWR); });
  loop->run();
  CHECK(deaths == std::vector{EINVAL});
  CHECK_FALSE(acceptor.armed());
}

TEST_CASE("out of descriptors, an acceptor backs off, counts it, and goes on when there are some again") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  const Listener listener;
  const UniqueFd client = dial(listener.address);
  int accepted = 0;
  Acceptor acceptor(*loop, duplicate(listener), [&](UniqueFd) { ++accepted; }, [](int error) { FAIL(error); });
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  acceptor.arm();
  run(*loop, [](Loop& on, Acceptor& door, const rlimit& enough, const int& count) -> Task<void> {
    while (on.counters().accept_backoffs == 0) co_await on.sleep_until(on.now() + milliseconds(1));
    CHECK(count == 0);
    ::setrlimit(RLIMIT_NOFILE, &enough);
    while (count == 0) co_await on.sleep_until(on.now() + milliseconds(1));
    co_await door.disarm();
  }(*loop, acceptor, before, accepted));
  CHECK(accepted == 1);
}

}  // namespace
}  // namespace leat::ring
