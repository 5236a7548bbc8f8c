// A second endpoint asked because the first is slow: who wins, who is never asked, and what becomes of the loser.
#include <future>
#include <mutex>

#include "tests/unit/userspace-proxy/flow/http2_peer.h"

namespace leat::proxy::test {
namespace {

// `web` with one route, whose requests are hedged after so long.
struct Hedged : Web {
  v1::HttpRoute* route;
  explicit Hedged(ring::BackendKind backend, uint64_t after_ms = 300, v1::Protocol protocol = v1::PROTOCOL_HTTP)
      : Web(backend, {kNear, kFar}, protocol), route(service->add_route_tables()->add_routes()) {
    route->add_destinations()->set_service("shop/web");
    route->mutable_destinations(0)->set_weight(1);
    route->set_hedge_after_ms(after_ms);
  }
};

// Takes requests and says nothing to them until the test ends; remembers how each connection ended.
class Hanging {
 public:
  explicit Hanging(const Pod& pod)
      : server_(pod.ip, 8080, [this](UniqueFd connection, SocketAddress) {
          if (read_message(connection).empty()) return;
          ++asked;
          (void)read_all(connection);
          ++ended;
        }) {}
  std::atomic<int> asked = 0;
  std::atomic<int> ended = 0;

 private:
  Server server_;
};

// Both endpoints are slow. How many of them get a request until it is answered.
int asked_for_one_answer(Hedged& web, const std::string& request) {
  std::atomic<int> asked = 0;
  const auto slowly = [&](const std::string&) {
    ++asked;
    std::this_thread::sleep_for(200ms);
    return ok("slow");
  };
  const HttpServer near(kNear, slowly);
  const HttpServer far(kFar, slowly);
  web.start();
  const UniqueFd client = web.connect();
  send_all(client, request);
  CHECK(read_message(client) == ok("slow"));
  return asked;
}

bool soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 500 && !holds(); ++i) std::this_thread::sleep_for(20ms);
  return holds();
}

}  // namespace

TEST_CASE("a request whose endpoint is silent is asked of another one too, which answers; the first is let go") {
  for (const auto& [slow, good] : {std::pair{kNear, kFar}, {kFar, kNear}}) {
    for_both_backends([&](ring::BackendKind backend) {
      CAPTURE(slow.name);
      Hedged web(backend);
      Hanging hanging(slow);
      const HttpServer working(good, [](const std::string&) { return ok("good"); });
      web.start();
      const UniqueFd client = web.connect();
      while (hanging.asked == 0) {
        send_all(client, kGet);
        CHECK(read_message(client) == ok("good"));
      }
      CHECK(soon([&] { return hanging.ended == 1; }));
      CHECK(web.a.counter("leat_hedges_total") >= 2);  // sent, and won
    });
  }
}

TEST_CASE("a body is sent to both, where it may be") {
  Hedged web(ring::BackendKind::kIoUring);
  const std::string body = pattern(50'000);
  Hanging hanging(kNear);
  const HttpServer working(kFar, [&](const std::string& request) {
    CHECK(request.ends_with(body));
    return ok("good");
  });
  web.start();
  const UniqueFd client = web.connect();
  while (hanging.asked == 0) {
    send_all(client, "PUT / HTTP/1.1\r\nhost: web\r\ncontent-length: 50000\r\n\r\n" + body);
    CHECK(read_message(client) == ok("good"));
  }
}

TEST_CASE("what may change something is asked of one endpoint only, and so is what nobody hedges") {
  std::string request = "POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 0\r\n\r\n";
  uint64_t after = 30;
  SUBCASE("a POST") {}
  SUBCASE("no hedging") {
    request = kGet;
    after = 0;
  }
  Hedged web(ring::BackendKind::kIoUring, after);
  CHECK(asked_for_one_answer(web, request) == 1);
}

TEST_CASE("a second endpoint that fails at once does not win: the slow one's answer is awaited") {
  std::string failure;
  SUBCASE("by 503") { failure = "HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n"; }
  SUBCASE("by its death") {}
  Hedged web(ring::BackendKind::kIoUring, 30);
  std::atomic<int> slow_asked = 0;
  std::atomic<int> failed = 0;
  const HttpServer slow(kNear, [&](const std::string&) {
    ++slow_asked;
    for (int i = 0; i < 200 && failed == 0; ++i) std::this_thread::sleep_for(10ms);
    std::this_thread::sleep_for(50ms);
    return ok("slow");
  });
  const HttpServer failing(kFar, [&](const std::string&) {
    ++failed;
    return failure;
  });
  web.start();
  const UniqueFd client = web.connect();
  while (failed == 0 || slow_asked == 0) {
    send_all(client, kGet);
    CHECK(read_message(client) == ok("slow"));
  }
}

TEST_CASE("hedges are bounded as retries are: by the budget") {
  Hedged web(ring::BackendKind::kIoUring, 30);
  v1::TrafficPolicy* policy = Node::set_policy(web.service, v1::LB_LEAST_REQUEST);
  policy->mutable_retry_budget()->set_percent(0);
  policy->mutable_retry_budget()->set_min_concurrency(0);
  CHECK(asked_for_one_answer(web, kGet) == 1);
  CHECK(web.a.counter("leat_hedges_total") == 1);  // refused
}

TEST_CASE("an answer that has begun is not overtaken") {
  Hedged web(ring::BackendKind::kIoUring);
  std::atomic<int> asked = 0;
  const auto slowly = [&](UniqueFd connection, SocketAddress) {
    if (read_message(connection).empty()) return;
    ++asked;
    send_all(connection, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
    std::this_thread::sleep_for(600ms);
    send_all(connection, "lf");
    (void)read_all(connection);
  };
  const Server near(kNear.ip, 8080, slowly);
  const Server far(kFar.ip, 8080, slowly);
  web.start();
  {
    const UniqueFd client = web.connect();
    send_all(client, kGet);
    CHECK(read_message(client) == "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf");
    CHECK(asked == 1);
  }
}

TEST_CASE("a client of HTTP/2 is hedged likewise, and the loser's stream is reset") {
  Hedged web(ring::BackendKind::kIoUring, 300, v1::PROTOCOL_HTTP2);
  std::promise<uint32_t> reset;
  std::atomic<int> hung = 0;
  const Server hanging(kNear.ip, 8080, [&](UniqueFd connection, SocketAddress) {
    Http2Peer peer(Http2Peer::Role::kServer, connection);
    Message* request = peer.next();
    if (!request) return;
    ++hung;
    if (peer.run([&] { return request->reset.has_value(); })) reset.set_value(*request->reset);
    peer.run([] { return false; }, 1s);
  });
  const Http2Server working(kFar, [](Http2Peer& peer, Message& request) { peer.respond(request, kOk2, "good"); });
  web.start();
  Http2Client client(web.connect());
  while (hung == 0) CHECK(client.get().body == "good");
  auto ended = reset.get_future();
  REQUIRE(ended.wait_for(10s) == std::future_status::ready);
  CHECK(ended.get() == static_cast<uint32_t>(http2::ResetCode::kCancel));
}

}  // namespace leat::proxy::test
