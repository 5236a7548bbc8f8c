// The scrape server over real sockets of the loopback, on the test's own thread.
#include "userspace-proxy/scrape/server.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "userspace-proxy/limits.h"

using namespace leat;
using namespace leat::proxy;
using namespace leat::proxy::scrape;
using namespace std::chrono_literals;

namespace {

struct Scene {
  std::unique_ptr<EventLoop> loop = *EventLoop::make();
  std::shared_ptr<Exposition> counters = std::make_shared<Exposition>();
  std::vector<std::function<void(ExpositionPtr)>> asked;
  std::optional<std::string> ill;
  SocketAddress address;
  std::unique_ptr<Server> server;

  Scene() {
    auto listener = listen_at(*SocketAddress::parse("127.0.0.1:0"));
    REQUIRE(listener);
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    getsockname(listener->get(), reinterpret_cast<sockaddr*>(&bound), &size);
    address = *SocketAddress::from_sockaddr(bound);
    server = std::make_unique<Server>(*loop, std::move(*listener),
                                      Server::Answers{.metrics = [this](auto reply) { asked.push_back(reply); },
                                                      .healthy = [this] { return ill; },
                                                      .ready = [this] { return ill; }});
  }
  UniqueFd connect() const {
    UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage storage{};
    const socklen_t size = address.to_sockaddr(storage, AF_INET);
    REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0);
    return socket;
  }
  void turn(int turns = 20) {
    for (int i = 0; i < turns; ++i) {
      loop->run_once(1ms);
      for (const auto& reply : std::exchange(asked, {})) reply(counters);
    }
  }
  // All that comes until the close.
  std::string read(const UniqueFd& socket) {
    std::string all;
    std::array<char, 65536> piece;
    for (int idle = 0; idle < 2000;) {
      turn(1);
      const ssize_t size = ::recv(socket.get(), piece.data(), piece.size(), MSG_DONTWAIT);
      if (size == 0) return all;
      if (size > 0) all.append(piece.data(), static_cast<size_t>(size));
      idle = size > 0 ? 0 : idle + 1;
    }
    return all + "STILL OPEN";
  }
  std::string ask(const std::string& request) {
    const UniqueFd socket = connect();
    ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
    return read(socket);
  }
  std::string get(const std::string& path, const std::string& more = "") {
    return ask("GET " + path + " HTTP/1.1\r\nhost: node\r\n" + more + "\r\n");
  }
};

// The body of a chunked answer.
std::string unchunked(const std::string& answer) {
  REQUIRE(answer.contains("transfer-encoding: chunked\r\n"));
  std::string body;
  size_t at = answer.find("\r\n\r\n") + 4;
  for (;;) {
    const size_t size = std::stoul(answer.substr(at), nullptr, 16);
    at = answer.find("\r\n", at) + 2;
    if (size == 0) return body;
    body += answer.substr(at, size);
    at += size + 2;
  }
}

}  // namespace

TEST_CASE("metrics come whole, however much that is") {
  Scene scene;
  for (int i = 0; i < 5000; ++i) {
    v1::Counter counter;
    counter.set_name("requests_total");
    (*counter.mutable_labels())["workload"] = "with-a-long-name-" + std::to_string(i);
    counter.set_value(i);
    scene.counters->add(counter);
  }
  std::string expected;
  Exposition::Text(*scene.counters, ExpositionFormat::kPrometheus).append(expected, 1u << 30);
  REQUIRE(expected.size() > 3 * limits::kScrapePiece);
  const std::string answer = scene.get("/metrics");
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4"));
  CHECK((unchunked(answer) == expected));
  CHECK(scene.get("/metrics", "accept: application/openmetrics-text\r\n").contains("# EOF\n"));
  const std::string packed = scene.get("/metrics", "accept-encoding: gzip\r\n");
  CHECK(packed.contains("content-encoding: gzip\r\n"));
  CHECK(packed.size() < answer.size() / 10);
  const std::string old = scene.ask("GET /metrics HTTP/1.0\r\n\r\n");
  CHECK((old.substr(old.find("\r\n\r\n") + 4) == expected));
}

TEST_CASE("health says why it is not well") {
  Scene scene;
  CHECK(scene.get("/healthz").ends_with("\r\n\r\nok\n"));
  scene.ill = "no model";
  for (const char* path : {"/healthz", "/readyz?verbose"}) {
    CHECK(scene.get(path).starts_with("HTTP/1.1 503 "));
    CHECK(scene.get(path).ends_with("\r\n\r\nno model\n"));
  }
}

TEST_CASE("what is no question for it is answered as such") {
  Scene scene;
  CHECK(scene.get("/").starts_with("HTTP/1.1 404 "));
  CHECK(scene.ask("POST /metrics HTTP/1.1\r\nhost: node\r\ncontent-length: 1\r\n\r\nx").contains("allow: GET, HEAD"));
  CHECK(scene.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
  const std::string head = scene.ask("HEAD /healthz HTTP/1.1\r\nhost: node\r\n\r\n");
  CHECK(head.contains("content-length: 3\r\n"));
  CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("a request that comes in pieces is one request") {
  Scene scene;
  const UniqueFd socket = scene.connect();
  for (const char c : std::string("GET /healthz HTTP/1.1\r\nhost: node\r\n\r\n")) {
    ::send(socket.get(), &c, 1, MSG_NOSIGNAL);
    scene.turn(2);
  }
  CHECK(scene.read(socket).ends_with("ok\n"));
}

TEST_CASE("connections that say nothing keep no probe out: the oldest makes room") {
  Scene scene;
  std::vector<UniqueFd> silent;
  for (size_t i = 0; i < limits::kScrapers; ++i) {
    silent.push_back(scene.connect());
    scene.turn(3);
  }
  CHECK(scene.get("/healthz").ends_with("ok\n"));
  CHECK(scene.server->counters().ended == 1);
  char c = 0;
  CHECK(::recv(silent[0].get(), &c, 1, MSG_DONTWAIT) == 0);
  CHECK(::recv(silent[1].get(), &c, 1, MSG_DONTWAIT) < 0);
}

TEST_CASE("a client that has gone before its metrics are there harms nobody") {
  Scene scene;
  {
    const UniqueFd socket = scene.connect();
    const std::string request = "GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n";
    ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
    for (int i = 0; i < 50 && scene.asked.empty(); ++i) scene.loop->run_once(1ms);
    REQUIRE(scene.asked.size() == 1);
  }
  scene.turn();
  CHECK(scene.get("/healthz").ends_with("ok\n"));
}
