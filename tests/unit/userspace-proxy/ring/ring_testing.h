// What the tests of the event loop share: a loop of each back end, connected pairs of TCP sockets, and running
// coroutines to their end.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "common/unique_fd.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/socket.h"
#include "userspace-proxy/ring/task.h"

namespace leat::ring::testing {

inline std::unique_ptr<Loop> make_loop(BackendKind kind, LoopOptions options = {}) {
  options.backend = kind;
  auto loop = Loop::create(options);
  if (!loop) FAIL(loop.error().message);
  return std::move(*loop);
}

// How many blocks the kernel may hold while nothing is in flight.
inline uint32_t lent_at_most(const LoopOptions& options) { return options.standing_blocks + options.reserve_blocks; }

// Runs `task` on the loop until it ends.
inline void run(Loop& loop, Task<void> task) {
  bool ended = false;
  start([](Loop& on, Task<void> work, bool& flag) -> Task<void> {
    co_await std::move(work);
    flag = true;
    on.stop();
  }(loop, std::move(task), ended));
  loop.run();
  CHECK(ended);
}

struct Listener {
  UniqueFd fd;
  SocketAddress address;

  explicit Listener(int backlog = 4096) : fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in any{.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0);
    REQUIRE(::listen(fd.get(), backlog) == 0);
    socklen_t bytes = sizeof(any);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&any), &bytes) == 0);
    address = {IpAddress::v4(INADDR_LOOPBACK), ntohs(any.sin_port)};
  }
  [[nodiscard]] UniqueFd accept() const {
    UniqueFd connection(::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(connection.valid());
    return connection;
  }
};

inline UniqueFd tcp_socket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

// A blocking connection to `listener`, made from any thread.
inline UniqueFd dial(const SocketAddress& to) {
  UniqueFd fd = tcp_socket();
  REQUIRE(fd.valid());
  sockaddr_storage storage{};
  const socklen_t bytes = to.to_sockaddr(storage, AF_INET);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), bytes) == 0);
  return fd;
}

// Two ends of one TCP connection.
inline std::pair<UniqueFd, UniqueFd> tcp_pair() {
  static const Listener listener;
  UniqueFd client = dial(listener.address);
  return {std::move(client), listener.accept()};
}

inline void reset_on_close(int fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

inline Chain bytes(Loop& loop, std::string_view text) {
  Chain chain;
  REQUIRE(chain.append_copy(loop.buffers(), {reinterpret_cast<const uint8_t*>(text.data()), text.size()}));
  return chain;
}

inline std::string text(const Chain& chain) {
  std::string all;
  for (const Buffer& slice : chain.slices()) all.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  return all;
}

}  // namespace leat::ring::testing

// Each test of the loop runs on both back ends.
#define BOTH_BACK_ENDS(kind)                                        \
  leat::ring::BackendKind kind{};                                   \
  SUBCASE("io_uring") { kind = leat::ring::BackendKind::kIoUring; } \
  SUBCASE("epoll") { kind = leat::ring::BackendKind::kEpoll; }
