#include "userspace-proxy/ring/socket.h"

#include <unistd.h>

#include <memory>
#include <vector>

#include "ring_testing.h"

namespace leat::ring {
namespace {

using namespace testing;
using std::chrono::milliseconds;

TEST_CASE("bytes arrive as soon as there are any, then the end") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  auto [near, far] = tcp_pair();
  run(*loop, [](Loop& on, UniqueFd a, UniqueFd b) -> Task<void> {
    Socket left(on, std::move(a));
    Socket right(on, std::move(b));
    CHECK((co_await left.send(bytes(on, "hello"))).has_value());
    auto got = co_await right.recv();
    REQUIRE(got.has_value());
    CHECK(text(*got) == "hello");
    left.shutdown_write();
    got = co_await right.recv();
    REQUIRE(got.has_value());
    CHECK(got->empty());
    CHECK((co_await right.send(bytes(on, "still open"))).has_value());
    CHECK(text(*co_await left.recv()) == "still open");
  }(*loop, std::move(near), std::move(far)));
}

TEST_CASE("what is there already can be taken without waiting, and put back for the next receive") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  auto [near, far] = tcp_pair();
  run(*loop, [](Loop& on, UniqueFd a, UniqueFd b) -> Task<void> {
    Socket left(on, std::move(a));
    Socket right(on, std::move(b));
    CHECK(right.try_recv()->empty());
    CHECK((co_await left.send(bytes(on, "first"))).has_value());
    auto first = right.try_recv();
    REQUIRE(first.has_value());
    CHECK(text(*first) == "first");
    CHECK((co_await left.send(bytes(on, " second"))).has_value());
    left.shutdown_write();
    right.unread(std::move(*first));
    CHECK(text(*co_await right.recv()) == "first");
    CHECK(text(*co_await right.recv()) == " second");
    CHECK(right.try_recv()->empty());  // the end is told by recv() alone
    CHECK((co_await right.recv())->empty());
  }(*loop, std::move(near), std::move(far)));
}

TEST_CASE("try_recv tells that the peer has reset") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  auto [near, far] = tcp_pair();
  reset_on_close(near.get());
  near.reset();
  run(*loop, [](Loop& on, UniqueFd b) -> Task<void> {
    Socket right(on, std::move(b));
    const auto got = right.try_recv();
    REQUIRE_FALSE(got.has_value());
    CHECK(got.error().value == ECONNRESET);
    co_return;
  }(*loop, std::move(far)));
}

TEST_CASE("connect reaches a listener, and names a refusal") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  run(*loop, [](Loop& on) -> Task<void> {
    SocketAddress nobody;
    {
      Listener listener;
      nobody = listener.address;
      Socket socket(on, tcp_socket());
      CHECK((co_await socket.connect(listener.address, on.now() + milliseconds(2000))).has_value());
      CHECK(socket.peer_address() == listener.address);
    }
    Socket socket(on, tcp_socket());
    const auto refused = co_await socket.connect(nobody, on.now() + milliseconds(2000));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().value == ECONNREFUSED);
  }(*loop));
}

TEST_CASE("a connect that nobody answers ends at its deadline") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  const Listener full(0);
  const UniqueFd fills =
      dial(full.address);  // the backlog of a listener that does not accept: further handshakes are not answered
  run(*loop, [](Loop& on, SocketAddress to) -> Task<void> {
    const auto begin = on.now();
    IoResult<void> last;
    for (int i = 0; i < 3 && last; ++i) {
      Socket socket(on, tcp_socket());
      last = co_await socket.connect(to, on.now() + milliseconds(30));
    }
    REQUIRE_FALSE(last.has_value());
    CHECK(last.error().value == ETIMEDOUT);
    CHECK(Clock::now() - begin >= milliseconds(30));
  }(*loop, full.address));
}

TEST_CASE("the source address is chosen before connect, the port by the kernel") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  const Listener listener;
  run(*loop, [](Loop& on, SocketAddress to) -> Task<void> {
    const auto source = *IpAddress::parse("127.200.1.2");
    Socket socket(on, tcp_socket());
    CHECK(socket.bind_source(source).has_value());
    CHECK((co_await socket.connect(to, on.now() + milliseconds(2000))).has_value());
    CHECK(socket.local_address().ip == source);
    CHECK(socket.local_address().port != 0);
  }(*loop, listener.address));
}

TEST_CASE("whatever waits at a socket that is cancelled, closed, reset or dropped completes with ECANCELED") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  using End = void (*)(Socket&);
  for (const End end : {End([](Socket& s) { s.cancel_all(); }), End([](Socket& s) { s.close(); }),
                        End([](Socket& s) { s.reset(); }), End([](Socket& s) { s = Socket(); })}) {
    auto [near, far] = tcp_pair();
    run(*loop, [](Loop& on, UniqueFd fd, End ends) -> Task<void> {
      Socket socket(on, std::move(fd));
      int cancelled = 0;
      auto receive = [](Socket& at, int& count) -> Task<void> {
        const auto got = co_await at.recv();
        count += !got && got.error().value == ECANCELED ? 1 : 0;
      };
      auto hangup = [](Socket& at, int& count) -> Task<void> {
        const auto hung_up = co_await at.hangup();
        count += !hung_up && hung_up.error().value == ECANCELED ? 1 : 0;
      };
      auto fill = [](Loop& of, Socket& at, int& count) -> Task<void> {
        IoResult<void> sent;
        while (sent) sent = co_await at.send(bytes(of, std::string(100'000, 'x')));
        count += sent.error().value == ECANCELED ? 1 : 0;
      };
      Task<void> receiving = receive(socket, cancelled);
      Task<void> hanging = hangup(socket, cancelled);
      Task<void> sending = fill(on, socket, cancelled);
      start(std::move(receiving));
      start(std::move(hanging));
      start(std::move(sending));
      co_await on.sleep_until(on.now() + milliseconds(20));
      CHECK(cancelled == 0);
      ends(socket);
      CHECK(cancelled == 0);  // never inside the call
      co_await on.sleep_until(on.now() + milliseconds(5));
      CHECK(cancelled == 3);
      if (!socket.is_open()) {
        CHECK((co_await socket.recv()).error().value == ECANCELED);
        CHECK((co_await socket.send(bytes(on, "x"))).error().value == ECANCELED);
      }
    }(*loop, std::move(near), end));
  }
  CHECK(loop->buffers().free_blocks() + lent_at_most({}) >= loop->buffers().blocks());
}

TEST_CASE("cancelling against arriving bytes loses none and leaves the socket usable") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  auto [near, far] = tcp_pair();
  run(*loop, [](Loop& on, UniqueFd a, UniqueFd b) -> Task<void> {
    Socket reader(on, std::move(a));
    Socket writer(on, std::move(b));
    std::string expected;
    std::string received;
    for (int round = 0; round < 2'000; ++round) {
      const std::string part = std::to_string(round) + " ";
      expected += part;
      auto receive = [](Socket& at, std::string& all, Signal& done) -> Task<void> {
        const auto got = co_await at.recv();
        if (got) all += text(*got);
        if (!got) CHECK(got.error().value == ECANCELED);
        done.set();
      };
      Signal done;
      start(receive(reader, received, done));
      if (round % 3 == 0) {
        reader.cancel_recv();
        CHECK((co_await writer.send(bytes(on, part))).has_value());
      } else {
        CHECK((co_await writer.send(bytes(on, part))).has_value());
        if (round % 3 == 1) reader.cancel_recv();
      }
      co_await done.wait();
    }
    writer.shutdown_write();
    for (;;) {
      auto got = co_await reader.recv();
      REQUIRE(got.has_value());
      if (got->empty()) break;
      received += text(*got);
    }
    CHECK(received == expected);
  }(*loop, std::move(near), std::move(far)));
}

TEST_CASE("ends, errors and cancelled receives give their blocks back") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind, {.buffer_blocks = 8, .standing_blocks = 4, .reserve_blocks = 0});
  for (int round = 0; round < 300; ++round) {
    auto [near, far] = tcp_pair();
    if (round % 3 == 0) reset_on_close(far.get());
    if (round % 3 != 2) far.reset();
    run(*loop, [](Loop& on, UniqueFd fd, int kind_of_end) -> Task<void> {
      Socket socket(on, std::move(fd));
      if (kind_of_end == 2) on.post([&] { socket.cancel_recv(); });
      const auto got = co_await socket.recv();
      CHECK((got ? 0 : got.error().value) == (kind_of_end == 0 ? ECONNRESET : kind_of_end == 1 ? 0 : ECANCELED));
      if (got) CHECK(got->empty());
    }(*loop, std::move(near), round % 3));
  }
  CHECK(loop->buffers().free_blocks() >= 4);
}

TEST_CASE("a chain of more slices than one message holds arrives whole and in order") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind);
  auto [near, far] = tcp_pair();
  run(*loop, [](Loop& on, UniqueFd a, UniqueFd b) -> Task<void> {
    Socket reader(on, std::move(a));
    Socket writer(on, std::move(b));
    Chain chain;
    std::string expected;
    for (int i = 0; i < 100; ++i) {
      chain.append(bytes(on, std::to_string(i) + ","));
      expected += std::to_string(i) + ",";
    }
    CHECK((co_await writer.send(std::move(chain))).has_value());
    std::string received;
    while (received.size() < expected.size()) received += text(*co_await reader.recv());
    CHECK(received == expected);
  }(*loop, std::move(near), std::move(far)));
}

TEST_CASE("when slow readers hold every block, a socket with the reserve still receives") {
  BOTH_BACK_ENDS(kind)
  auto loop = make_loop(kind, {.buffer_blocks = 64, .standing_blocks = 4, .reserve_blocks = 8});
  std::vector<UniqueFd> ends;
  std::vector<std::unique_ptr<Socket>> sockets;
  int holding = 0;
  for (int i = 0; i < 100; ++i) {
    auto [far, near] = tcp_pair();
    REQUIRE(::send(far.get(), "x", 1, MSG_NOSIGNAL) == 1);
    ends.push_back(std::move(far));
    sockets.push_back(std::make_unique<Socket>(*loop, std::move(near)));
  }
  auto [far, near] = tcp_pair();
  REQUIRE(::send(far.get(), "window update", 13, MSG_NOSIGNAL) == 13);
  run(*loop, [](Loop& on, auto& others, UniqueFd fd, int& held) -> Task<void> {
    // Each keeps what it received until the tunnel has spoken, as a stream does whose window is closed.
    std::vector<Chain> kept;
    for (auto& socket : others) {
      start([](Socket& from, std::vector<Chain>& in, int& count) -> Task<void> {
        auto got = co_await from.recv();
        if (!got) co_return;
        in.push_back(std::move(*got));
        ++count;
      }(*socket, kept, held));
    }
    while (on.counters().starved_turns == 0) co_await on.sleep_until(on.now() + milliseconds(1));
    co_await on.sleep_until(on.now() + milliseconds(5));
    CHECK(held < 100);
    Socket tunnel(on, std::move(fd));
    tunnel.use_reserve();
    CHECK(text(*co_await tunnel.recv()) == "window update");
    while (held < 100) {
      kept.clear();
      co_await on.sleep_until(on.now() + milliseconds(1));
    }
  }(*loop, sockets, std::move(near), holding));
  CHECK(holding == 100);
}

}  // namespace
}  // namespace leat::ring
