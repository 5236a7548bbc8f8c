// HTTP through one proxy and through two: real workers, real sockets, servers that do exactly what a test tells them.
#include <doctest/doctest.h>
#include <poll.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "tests/unit/userspace-proxy/flow/cluster.h"

namespace leat::proxy::test {
namespace {

// Reads a message's head, blank line included; empty at the end.
std::string read_head(const UniqueFd& socket) {
  std::string head;
  char c = 0;
  while (!head.ends_with("\r\n\r\n")) {
    if (recv(socket.get(), &c, 1, 0) != 1) return {};
    head += c;
  }
  return head;
}

// A head and as much of a body as its content-length says.
std::string read_message(const UniqueFd& socket) {
  std::string message = read_head(socket);
  const size_t at = message.find("content-length: ");
  if (at != std::string::npos) message += read_some(socket, std::stoul(message.substr(at + 16)));
  return message;
}

std::string ok(std::string_view body) {
  return "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// Answers every request of every connection with what `respond` makes of it; empty closes.
class HttpServer {
 public:
  HttpServer(const Pod& pod, std::function<std::string(const std::string& request)> respond)
      : respond_(std::move(respond)),
        server_(pod.ip, 8080, [this](UniqueFd connection, SocketAddress) { serve(connection); }) {}
  ~HttpServer() { ended_ = true; }
  [[nodiscard]] int accepted() const { return server_.accepted(); }

 private:
  void serve(const UniqueFd& connection) {
    while (await(connection)) {
      const std::string request = read_message(connection);
      if (request.empty()) return;
      const std::string response = respond_(request);
      if (response.empty()) return;
      send_all(connection, response);
    }
  }
  // False: the test is over, and the proxy may keep the connection for a while yet.
  bool await(const UniqueFd& connection) const {
    pollfd readable{connection.get(), POLLIN, 0};
    while (!ended_) {
      if (poll(&readable, 1, 20) > 0) return true;
    }
    return false;
  }

  std::function<std::string(const std::string&)> respond_;
  std::atomic<bool> ended_ = false;
  Server server_;
};

constexpr std::string_view kVip = "127.128.0.9";  // the alias of the Service below
const std::string kGet = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";

// A Service "web" whose port 80 is HTTP, with the given endpoints at port 8080.
struct Web : Cluster {
  explicit Web(ring::BackendKind backend, const std::vector<Pod>& endpoints, v1::Protocol protocol = v1::PROTOCOL_HTTP)
      : Cluster(backend) {
    service = a.add_service("web", "127.1.9.9", 80);
    service->mutable_ports(0)->set_protocol(protocol);
    for (const Pod& pod : endpoints) Node::add_endpoint(service, pod, 8080);
    a.add_alias(9, "127.1.9.9", "shop/web", "");
  }
  void start() {
    start_both();
    a.listen_outbound(kClient, 9, 80);
  }
  UniqueFd connect() const { return connect_to(std::string(kVip), 80, kClient.ip); }
  v1::Service* service;
};

}  // namespace

TEST_CASE("requests of one connection are answered one after the other over one upstream connection") {
  for (const Pod& pod : {kNear, kFar}) {
    for_both_backends([&](ring::BackendKind backend) {
      CAPTURE(pod.name);
      Web web(backend, {pod});
      const HttpServer server(pod, [](const std::string& request) { return ok(request); });
      web.start();
      const UniqueFd client = web.connect();
      for (int i = 0; i < 5; ++i) {
        send_all(client, kGet);
        CHECK(read_message(client) == ok(kGet));
      }
      CHECK(server.accepted() == 1);
      const auto flows = web.a.flows(true, false);
      REQUIRE(flows.size() == 1);
      CHECK(flows[0].protocol() == "http/1.1");
      CHECK(flows[0].requests() == 5);
      CHECK(flows[0].destination_pod() == pod.name);
    });
  }
}

}  // namespace leat::proxy::test
