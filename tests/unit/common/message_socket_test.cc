#include "common/message_socket.h"

#include <sys/socket.h>

#include <doctest/doctest.h>

#include "leat.pb.h"

using leat::MessageSocket;
using leat::UniqueFd;

namespace {
std::pair<MessageSocket, MessageSocket> socket_pair(size_t max_message = 256u << 20, size_t max_queue = 512u << 20) {
  int fds[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
  return {MessageSocket(UniqueFd(fds[0]), max_message, max_queue),
          MessageSocket(UniqueFd(fds[1]), max_message, max_queue)};
}
}  // namespace

TEST_CASE("a message larger than a frame arrives whole and in order, whatever the socket takes at once") {
  auto [a, b] = socket_pair();
  leat::v1::Hello big;
  big.set_version(std::string(8 << 20, 'x') + "end");
  REQUIRE(a.send(big));
  leat::v1::Hello small;
  small.set_version("small");
  REQUIRE(a.send(small));
  CHECK(a.wants_write());
  std::vector<std::string> got;
  while (got.size() < 2) {
    REQUIRE(a.flush());
    auto message = b.receive();
    REQUIRE(message);
    if (!*message) continue;
    leat::v1::Hello hello;
    REQUIRE(hello.ParseFromString((*message)->bytes));
    got.push_back(hello.version());
  }
  CHECK(got[0] == big.version());
  CHECK(got[1] == "small");
  CHECK(a.queued_bytes() == 0);
}

TEST_CASE("descriptors arrive with their message and are usable") {
  auto [a, b] = socket_pair();
  int pipe_fds[2];
  REQUIRE(pipe(pipe_fds) == 0);
  UniqueFd reader(pipe_fds[0]);
  std::vector<UniqueFd> owned;
  owned.emplace_back(pipe_fds[1]);
  REQUIRE(a.send(leat::v1::Hello{}, std::move(owned)));
  auto message = b.receive();
  REQUIRE(message);
  REQUIRE(*message);
  REQUIRE((*message)->fds.size() == 1);
  REQUIRE(write((*message)->fds[0].get(), "y", 1) == 1);
  char byte = 0;
  REQUIRE(read(reader.get(), &byte, 1) == 1);
  CHECK(byte == 'y');
}

TEST_CASE("a peer that sends too much or does not read is given up with an error") {
  auto [a, b] = socket_pair(1000, 4 << 20);
  leat::v1::Hello hello;
  hello.set_version(std::string(2000, 'x'));
  REQUIRE(a.send(hello));
  const auto received = b.receive();
  REQUIRE_FALSE(received);
  CHECK(received.error().code == leat::ErrorCode::kProtocol);
  hello.set_version(std::string(1 << 20, 'x'));
  leat::Result<void> sent;
  for (int i = 0; i < 100 && sent; ++i) sent = a.send(hello);
  REQUIRE_FALSE(sent);
  CHECK(sent.error().code == leat::ErrorCode::kExhausted);
}

TEST_CASE("a peer that leaves is seen as closed") {
  auto [a, b] = socket_pair();
  {
    MessageSocket gone = std::move(a);
  }
  const auto received = b.receive();
  REQUIRE_FALSE(received);
  CHECK(received.error().code == leat::ErrorCode::kClosed);
}
