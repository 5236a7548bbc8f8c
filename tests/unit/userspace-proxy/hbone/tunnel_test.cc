#include "userspace-proxy/hbone/tunnel.h"

#include "../tls/authority.h"
#include "session_pair.h"

using namespace leat::test;
using leat::SocketAddress;
using leat::SpiffeId;
using leat::hbone::Tunnel;
using leat::tls::FailureKind;

namespace {

const SpiffeId kFront{"cluster.local", "shop", "front"};
const SpiffeId kBack{"cluster.local", "shop", "back"};

struct Tunnels {
  leat::ring::BufferPool pool{2048};
  leat::hbone::Counters counters;
  leat::hbone::Clock::time_point now{std::chrono::hours(1)};
  Authority authority;
  Tunnel client;
  Tunnel server;

  explicit Tunnels(const SpiffeId& expected = kBack)
      : client(Tunnel::client(authority.issue(kFront), {expected}, pool, counters, now)),
        server(Tunnel::server(authority.issue(kBack), pool, counters, now)) {}

  bool pass(Tunnel& from, Tunnel& to, leat::Result<void>& result) {
    leat::ring::Chain bytes = from.produce();
    const bool any = !bytes.empty();
    if (any) result = to.feed(std::move(bytes), now);
    return any;
  }
  leat::Result<void> at_client;
  leat::Result<void> at_server;
  void settle() {
    for (bool any = true; any;) {
      any = pass(client, server, at_server);
      any |= pass(server, client, at_client);
    }
  }
};

}  // namespace

TEST_CASE("a stream opened before the handshake is served after it, and both ends know the other's identity") {
  Tunnels tunnels;
  Stream& here = tunnels.client.session().open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  tunnels.settle();
  CHECK(tunnels.client.open());
  CHECK(tunnels.server.open());
  CHECK(tunnels.client.peer().identity == kBack);
  CHECK(tunnels.server.peer().identity == kFront);
  Stream* there = stream_with(tunnels.server.session(), EventKind::kConnect);
  REQUIRE(there);
  tunnels.server.session().accept(*there, "");
  leat::ring::Chain bytes = chain_of(tunnels.pool, std::string(200'000, 'x'));
  tunnels.server.session().send(*there, bytes);
  std::string got;
  while (got.size() < 200'000) {
    tunnels.settle();
    got += Pair::drain(tunnels.client.session(), here);
  }
  CHECK(got == std::string(200'000, 'x'));
  CHECK_FALSE(tunnels.client.wants_produce());
}

TEST_CASE("frames of several streams share one TLS record") {
  Tunnels tunnels;
  std::vector<Stream*> streams;
  for (int i = 0; i < 5; ++i)
    streams.push_back(&tunnels.client.session().open({.authority = *SocketAddress::parse("10.0.0.5:80")}));
  tunnels.settle();
  for (const Event& event : events_of(tunnels.server.session())) {
    if (event.kind == EventKind::kConnect) tunnels.server.session().accept(*event.stream, "");
  }
  tunnels.settle();
  for (Stream* stream : streams) {
    leat::ring::Chain bytes = chain_of(tunnels.pool, "0123456789");
    tunnels.client.session().send(*stream, bytes);
  }
  CHECK(tunnels.client.produce().size() == 5 * (9 + 10) + 22);
}

TEST_CASE("a tunnel to somebody else than was dialled tells why, and its streams are reset") {
  Tunnels tunnels(kFront);
  Stream& here = tunnels.client.session().open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  tunnels.settle();
  REQUIRE_FALSE(tunnels.at_client);
  CHECK(tunnels.client.failure().kind == FailureKind::kUnexpectedIdentity);
  CHECK(stream_with(tunnels.client.session(), EventKind::kReset) == &here);
  CHECK(tunnels.server.failure().kind == FailureKind::kPeerAlert);
  CHECK(events_of(tunnels.server.session()).empty());
  CHECK_FALSE(tunnels.client.wants_produce());
}

TEST_CASE("a drained tunnel ends with close_notify on both sides") {
  Tunnels tunnels;
  tunnels.settle();
  tunnels.server.session().drain();
  tunnels.settle();
  CHECK(tunnels.server.finished());
  CHECK(tunnels.client.finished());
  CHECK(tunnels.at_client);
  CHECK(tunnels.client.feed_end(tunnels.now));
  CHECK(tunnels.server.feed_end(tunnels.now));
}

TEST_CASE("a connection that is cut resets its streams") {
  Tunnels tunnels;
  Stream& here = tunnels.client.session().open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  tunnels.settle();
  const auto result = tunnels.client.feed_end(tunnels.now);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == leat::ErrorCode::kReset);
  CHECK(tunnels.client.failure().kind == FailureKind::kTruncated);
  CHECK(stream_with(tunnels.client.session(), EventKind::kReset) == &here);
}

TEST_CASE("a peer that breaks HTTP/2 inside good TLS is answered, and counted") {
  Tunnels tunnels;
  tunnels.settle();
  // The client's own channel carries bytes that no session made.
  leat::ring::Chain plaintext = chain_of(tunnels.pool, "GET / HTTP/1.1\r\n\r\n");
  auto authority_client = leat::tls::Channel::client(tunnels.authority.issue(kFront), {kBack}, tunnels.pool);
  Tunnel server = Tunnel::server(tunnels.authority.issue(kBack), tunnels.pool, tunnels.counters, tunnels.now);
  authority_client.handshake();
  CHECK(server.feed(authority_client.take_output(), tunnels.now));
  authority_client.feed(server.produce());
  authority_client.handshake();
  authority_client.write(plaintext, SIZE_MAX);
  CHECK_FALSE(server.feed(authority_client.take_output(), tunnels.now));
  CHECK(tunnels.counters.breaches[static_cast<size_t>(leat::hbone::Breach::kNotHttp2)] == 1);
  CHECK(server.finished());
}
