// Connections to servers of HTTP/2 that requests share: how many there are, for how long, and how a dead one is
// noticed.
#include <future>

#include "tests/unit/userspace-proxy/flow/http2_peer.h"

namespace leat::proxy::test {
namespace {

// A Service that speaks HTTP/2, and what its policy says of connections.
struct Shared : Web {
  v1::ConnectionLimits* limits;
  explicit Shared(std::vector<Pod> endpoints = {kNear})
      : Web(ring::BackendKind::kIoUring, endpoints, v1::PROTOCOL_HTTP2),
        limits(set_policy(service)->mutable_limits()) {}

 private:
  static v1::TrafficPolicy* set_policy(v1::Service* service) { return Node::set_policy(service, v1::LB_LEAST_REQUEST); }
};

// Answers once `open` is set; until then requests pile up.
struct Gate {
  std::atomic<bool> open = false;
  std::atomic<int> waiting = 0;
};

// Many requests at a time on each connection: answered when the gate opens, each.
class GatedServer {
 public:
  GatedServer(const Pod& pod, Gate& gate)
      : gate_(gate), server_(pod.ip, 8080, [this](UniqueFd connection, SocketAddress) { serve(connection); }) {}
  ~GatedServer() { ended_ = true; }
  [[nodiscard]] int accepted() const { return server_.accepted(); }

 private:
  void serve(const UniqueFd& connection) {
    Http2Peer peer(Http2Peer::Role::kServer, connection);
    std::vector<Message*> held;
    while (!ended_ && !peer.gone()) {
      if (Message* request = peer.next([&] { return ended_ || peer.gone() || (gate_.open && !held.empty()); })) {
        held.push_back(request);
        ++gate_.waiting;
      }
      if (!gate_.open) continue;
      for (Message* each : std::exchange(held, {})) peer.respond(*each, kOk2, "good");
    }
  }
  Gate& gate_;
  std::atomic<bool> ended_ = false;
  Server server_;
};

}  // namespace

TEST_CASE("a connection carries no more streams at once than the policy allows: others are opened") {
  Shared web;
  uint32_t most = 0;
  int connections = 1;
  SUBCASE("it says nothing") {}
  SUBCASE("it says two") {
    most = 2;
    connections = 3;
  }
  web.limits->set_max_concurrent_streams(most);
  Gate gate;
  const GatedServer server(kNear, gate);
  web.start();
  Http2Client client(web.connect());
  std::vector<Message*> answers;
  for (int i = 0; i < 6; ++i) answers.push_back(&client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n"));
  CHECK(client.peer.run([&] { return gate.waiting == 6; }));
  CHECK(server.accepted() == connections);
  gate.open = true;
  for (Message* answer : answers) CHECK(client.peer.answer(*answer).body == "good");
}

TEST_CASE("a connection carries as many requests as the policy allows in all, and leaves with GOAWAY") {
  Shared web;
  web.limits->set_max_requests_per_connection(2);
  std::atomic<int> told = 0;
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    Http2Peer peer(Http2Peer::Role::kServer, connection);
    int served = 0;
    while (Message* request = peer.next([&] { return peer.told_to_leave(); })) {
      peer.respond(*request, kOk2, std::to_string(++served));
    }
    if (peer.told_to_leave()) ++told;
  });
  web.start();
  Http2Client client(web.connect());
  for (const char* served : {"1", "2", "1", "2", "1", "2"}) CHECK(client.get().body == served);
  CHECK(client.peer.run([&] { return told == 3; }));
  CHECK(server.accepted() == 3);
}

TEST_CASE("an idle connection is closed when the policy's time is up, not before") {
  Shared web;
  web.limits->set_http_idle_timeout_ms(1500);
  std::promise<void> told;
  const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    Http2Peer peer(Http2Peer::Role::kServer, connection);
    while (Message* request = peer.next([&] { return peer.told_to_leave(); })) peer.respond(*request, kOk2, "good");
    if (peer.told_to_leave()) told.set_value();
  });
  web.start();
  Http2Client client(web.connect());
  CHECK(client.get().body == "good");
  const auto since = std::chrono::steady_clock::now();
  CHECK(told.get_future().wait_for(10s) == std::future_status::ready);
  CHECK(std::chrono::steady_clock::now() - since >= 1400ms);
}

TEST_CASE("no more connections are open than the policy allows: requests wait for room, and the last are refused") {
  Shared web;
  web.limits->set_max_connections(1);
  web.limits->set_max_concurrent_streams(1);
  web.limits->set_connect_timeout_ms(1000);
  Gate gate;
  const GatedServer server(kNear, gate);
  web.start();
  Http2Client client(web.connect());
  Message& first = client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  CHECK(client.peer.run([&] { return gate.waiting == 1; }));
  const Message& refused = client.get();
  CHECK(refused.is("503\n"));
  CHECK(refused.says("leat-reason: connection-limit"));
  Message& waiting = client.peer.ask("GET / HTTP/1.1\r\nhost: web\r\n\r\n");
  gate.open = true;
  CHECK(client.peer.answer(first).body == "good");
  CHECK(client.peer.answer(waiting).body == "good");
  CHECK(server.accepted() == 1);
  CHECK(web.a.counter("leat_overflows_total") == 1);
}

TEST_CASE("an idle connection to one endpoint makes room for one to another") {
  Shared web({kNear, kFar});
  web.limits->set_max_connections(1);
  const auto answer = [](Http2Peer& peer, Message& request) { peer.respond(request, kOk2, "good"); };
  const Http2Server near(kNear, answer);
  const Http2Server far(kFar, answer);
  web.start();
  Http2Client client(web.connect());
  for (int i = 0; i < 200 && (near.accepted() < 2 || far.accepted() < 2); ++i) CHECK(client.get().body == "good");
  CHECK(near.accepted() >= 2);
  CHECK(far.accepted() >= 2);
}

TEST_CASE("a server that answers no PING is given up with what waits for it; one that answers is kept") {
  for (const bool answers : {true, false}) {
    CAPTURE(answers);
    Shared web;
    web.limits->set_http2_ping_interval_ms(200);
    web.limits->set_http2_ping_timeout_ms(400);
    std::promise<void> gone;
    const Server server(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
      using namespace leat::test;
      if (answers) {
        Http2Peer peer(Http2Peer::Role::kServer, connection);
        Message* request = peer.next();
        if (!request) return;
        peer.run([] { return false; }, 1500ms);  // silent but for the codec's own answers
        peer.respond(*request, kOk2, "late");
        return;
      }
      send_all(connection, settings({}) + frame(kSettings, kAck, 0, ""));
      (void)read_all(connection);
      gone.set_value();
    });
    web.start();
    Http2Client client(web.connect());
    const Message& answer = client.post("x");
    if (answers) {
      CHECK(answer.body == "late");
      CHECK(server.accepted() == 1);
    } else {
      CHECK(answer.is("503\n"));
      CHECK(answer.says("leat-reason: server-closed"));
      CHECK(gone.get_future().wait_for(10s) == std::future_status::ready);
    }
  }
}

TEST_CASE("a server that accepts and says nothing is given up within the connect timeout, and another one asked") {
  Shared web({kNear, kFar});
  web.limits->set_connect_timeout_ms(600);
  std::atomic<int> silent = 0;
  const Server mute(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    ++silent;
    (void)read_all(connection);
  });
  const Http2Server far(kFar, [](Http2Peer& peer, Message& request) { peer.respond(request, kOk2, "good"); });
  web.start();
  Http2Client client(web.connect());
  while (silent == 0) CHECK(client.post("once").body == "good");
}

}  // namespace leat::proxy::test
