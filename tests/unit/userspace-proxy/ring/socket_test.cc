#include "userspace-proxy/ring/socket.h"

#include <unistd.h>

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

}  // namespace
}  // namespace leat::ring
