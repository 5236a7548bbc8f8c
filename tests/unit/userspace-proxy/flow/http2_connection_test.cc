// An HTTP/2 connection itself: its end, in peace and not, on both sides of the proxy.
#include <future>

#include "tests/unit/userspace-proxy/flow/http2_peer.h"

namespace leat::proxy::test {

TEST_CASE("a client that is gone takes its streams with it, at their servers too") {
  Web web(ring::BackendKind::kIoUring, {kNear}, v1::PROTOCOL_HTTP2);
  std::promise<void> asked;
  std::promise<uint32_t> ended;
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    Http2Peer peer(Http2Peer::Role::kServer, connection);
    Message* request = peer.next();
    if (!request) return;
    asked.set_value();
    if (peer.run([&] { return request->reset.has_value(); })) ended.set_value(*request->reset);
  });
  web.start();
  {
    Http2Client client(web.connect());
    client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    auto is_asked = asked.get_future();
    CHECK(client.peer.run([&] { return is_asked.wait_for(0s) == std::future_status::ready; }));
  }
  auto end = ended.get_future();
  REQUIRE(end.wait_for(10s) == std::future_status::ready);
  CHECK(end.get() == static_cast<uint32_t>(http2::ResetCode::kCancel));
}

TEST_CASE("a proxy that leaves says GOAWAY to its clients, and what they have asked is answered") {
  for_both_backends([](ring::BackendKind backend) {
    Web web(backend, {kNear}, v1::PROTOCOL_HTTP2);
    std::promise<void> asked;
    std::promise<void> go_on;
    auto gate = go_on.get_future();
    const Http2Server server(kNear, [&](Http2Peer& peer, Message& request) {
      asked.set_value();
      gate.wait();
      peer.respond(request, kOk2, "late");
    });
    web.start();
    Http2Client client(web.connect());
    Message& answer = client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
    auto is_asked = asked.get_future();
    CHECK(client.peer.run([&] { return is_asked.wait_for(0s) == std::future_status::ready; }));
    web.a.shut_down();
    CHECK(client.peer.run([&] { return client.peer.told_to_leave(); }));
    CHECK_FALSE(answer.over());
    go_on.set_value();
    CHECK(client.peer.answer(answer).body == "late");
    CHECK(client.peer.run([&] { return client.peer.gone(); }));
    CHECK(web.a.wait_left());
  });
}

TEST_CASE("a client that breaks the protocol is told so with GOAWAY, counted, and closed") {
  using namespace leat::test;
  Web web(ring::BackendKind::kIoUring, {kNear}, v1::PROTOCOL_HTTP2);
  const Http2Server server(kNear, [](Http2Peer& peer, Message& request) { peer.respond(request, kOk2, "good"); });
  web.start();
  const UniqueFd client = web.connect();
  send_all(client, std::string(kPreface) + settings({}) + frame(kWindowUpdate, kNoFlags, 0, big_endian(0, 4)));
  const std::string heard = read_all(client);
  const std::string goaway = big_endian(kGoaway, 1) + std::string(1, '\0') + big_endian(0, 4);
  const size_t at = heard.find(goaway);
  REQUIRE(at != std::string::npos);
  CHECK(heard.substr(at + goaway.size() + 4, 4) == big_endian(1, 4));  // PROTOCOL_ERROR
  CHECK(web.a.counter("leat_http2_breaches_total") >= 1);
}

TEST_CASE("a stream that a server resets in the midst of its answer is reset towards the client, the others go on") {
  Web web(ring::BackendKind::kIoUring, {kNear}, v1::PROTOCOL_HTTP2);
  const Http2Server server(kNear, [](Http2Peer& peer, Message& request) {
    if (!request.head.starts_with("GET /bad")) return peer.respond(request, kOk2, "good");
    peer.begin(request, kOk2);
    peer.more(request, "half", false);
    peer.reset(request, http2::ResetCode::kInternalError);
  });
  web.start();
  Http2Client client(web.connect());
  Message& bad = client.peer.ask("GET /bad HTTP/1.1\r\nhost: web\r\n\r\n");
  CHECK(client.get().body == "good");
  CHECK(client.peer.answer(bad).reset.has_value());
  CHECK(client.get().body == "good");
}

}  // namespace leat::proxy::test
