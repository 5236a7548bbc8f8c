#include "agent/proxy_session.h"

#include <doctest/doctest.h>

#include "agent/limits.h"

using leat::ErrorCode;
using leat::agent::ProxySession;
namespace limits = leat::agent::limits;
namespace v1 = leat::v1;

namespace {
const ProxySession::Time kNow{};

v1::ToAgent hello(int listeners = 0, uint32_t total = 0) {
  v1::ToAgent message;
  auto& body = *message.mutable_hello();
  body.set_version("0.1.0");
  body.set_instance("i-1");
  body.set_backend("io_uring");
  body.set_listener_total(total);
  for (int i = 0; i < listeners; ++i) {
    auto& id = *body.add_listeners();
    id.set_workload_uid("pod-1");
    id.set_epoch(1);
  }
  return message;
}

auto accept(ProxySession& session, const v1::ToAgent& message, size_t fds = 0) {
  return session.accept(message.SerializeAsString(), fds, kNow);
}

ProxySession greeted() {
  ProxySession session(kNow);
  REQUIRE(accept(session, hello()));
  return session;
}
}  // namespace

TEST_CASE("nothing is heard before Hello, and only one Hello") {
  ProxySession session(kNow);
  v1::ToAgent ack;
  ack.mutable_ack();
  CHECK(accept(session, ack).error().code == ErrorCode::kProtocol);
  CHECK(accept(session, hello()));
  CHECK(session.greeted());
  CHECK(accept(session, hello()).error().code == ErrorCode::kProtocol);
}

TEST_CASE("a lease epoch that would make the count wrap was never granted") {
  ProxySession session(kNow);
  auto message = hello();
  message.mutable_hello()->set_lease_epoch(limits::kMaxLeaseEpoch + 1);
  CHECK_FALSE(accept(session, message));
}

TEST_CASE("a kind that a newer proxy knows is skipped") {
  ProxySession session = greeted();
  const std::string unknown_kind("\xa2\x06\x00", 3);  // field 100, no bytes
  const auto accepted = session.accept(unknown_kind, 0, kNow);
  REQUIRE(accepted);
  CHECK_FALSE(*accepted);
}

TEST_CASE("every listener comes with its descriptor, and all that were announced are awaited") {
  ProxySession short_of_fds(kNow);
  CHECK_FALSE(accept(short_of_fds, hello(2, 2), 1));
  ProxySession session(kNow);
  REQUIRE(accept(session, hello(2, 3), 2));
  CHECK_FALSE(session.listeners_complete());
  v1::ToAgent more;
  *more.mutable_hello_listeners()->add_listeners() = hello(1).hello().listeners(0);
  REQUIRE(accept(session, more, 1));
  CHECK(session.listeners_complete());
  CHECK_FALSE(accept(session, more, 1));
}

TEST_CASE("descriptors with a message that has none are a violation") {
  ProxySession session = greeted();
  v1::ToAgent release;
  release.mutable_source_id_release()->set_id(1);
  CHECK(accept(session, release));
  CHECK_FALSE(accept(session, release, 1));
}

TEST_CASE("what was not sent can't be acknowledged") {
  ProxySession session = greeted();
  v1::ToAgent ack;
  ack.mutable_ack()->set_generation(5);
  CHECK_FALSE(accept(session, ack));
  session.sent(5);
  CHECK(accept(session, ack));
}

TEST_CASE("requests out of bounds are violations") {
  ProxySession session = greeted();
  v1::ToAgent sockets;
  sockets.mutable_socket_request()->set_workload_uid("pod-1");
  CHECK_FALSE(accept(session, sockets));
  sockets.mutable_socket_request()->set_count(limits::kMaxSocketsARequest);
  CHECK(accept(session, sockets));
  sockets.mutable_socket_request()->set_count(limits::kMaxSocketsARequest + 1);
  CHECK_FALSE(accept(session, sockets));
  sockets.mutable_socket_request()->set_count(1);
  sockets.mutable_socket_request()->set_workload_uid("pod\n1");
  CHECK_FALSE(accept(session, sockets));

  v1::ToAgent source;
  source.mutable_source_id_request()->set_workload_uid("pod-1");
  source.mutable_source_id_request()->set_address("12345");
  CHECK_FALSE(accept(session, source));
  source.mutable_source_id_request()->set_address("1234");
  CHECK(accept(session, source));

  v1::ToAgent sign;
  sign.mutable_sign_request()->set_identity("spiffe://cluster.local/ns/a/sa/b");
  CHECK_FALSE(accept(session, sign));
  sign.mutable_sign_request()->set_csr_der(std::string(limits::kMaxCsrBytes + 1, 'x'));
  CHECK_FALSE(accept(session, sign));
}

TEST_CASE("texts that would reach a terminal lose their control characters") {
  ProxySession session = greeted();
  v1::ToAgent reply;
  auto& flow = *reply.mutable_flow_reply()->add_flows();
  flow.set_reason("a\x1b[2Jb");
  flow.set_peer_identity("ü\n");
  const auto accepted = accept(session, reply);
  REQUIRE(accepted);
  CHECK((*accepted)->flow_reply().flows(0).reason() == "a?[2Jb");
  CHECK((*accepted)->flow_reply().flows(0).peer_identity() == "ü?");
}

TEST_CASE("a proxy that sends faster than the rate is read more slowly, not dropped") {
  ProxySession session = greeted();
  v1::ToAgent release;
  release.mutable_source_id_release()->set_id(1);
  std::chrono::milliseconds delay{0};
  int sent = 0;
  while (delay.count() == 0 && sent < 2 * limits::kMessageBurst) {
    REQUIRE(accept(session, release));
    delay = session.take_delay();
    ++sent;
  }
  CHECK(delay.count() > 0);
  CHECK(sent >= limits::kMessageBurst - 1);
  CHECK(session.take_delay().count() == 0);
}
