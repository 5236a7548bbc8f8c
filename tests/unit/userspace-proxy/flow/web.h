// A Service that speaks HTTP on the two test nodes, and what its clients and servers say, byte by byte.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <string>
#include <vector>

#include "tests/unit/userspace-proxy/flow/cluster.h"

namespace leat::proxy::test {

// Reads a message's head, blank line included; empty at the end.
inline std::string read_head(const UniqueFd& socket) {
  std::string head;
  char c = 0;
  while (!head.ends_with("\r\n\r\n")) {
    if (recv(socket.get(), &c, 1, 0) != 1) return {};
    head += c;
  }
  return head;
}

// A head and as much of a body as its content-length says.
inline std::string read_message(const UniqueFd& socket) {
  std::string message = read_head(socket);
  const size_t at = message.find("content-length: ");
  const size_t size = at == std::string::npos ? 0 : std::stoul(message.substr(at + 16));
  return size == 0 ? message : message + read_some(socket, size);  // a receive of nothing waits for something
}

// A chunked body without its framing.
inline std::string read_chunks(const UniqueFd& socket) {
  std::string body;
  for (;;) {
    std::string line;
    while (!line.ends_with("\r\n")) {
      const std::string c = read_some(socket, 1);
      if (c.empty()) return body + "CUT";
      line += c;
    }
    const size_t size = std::stoul(line, nullptr, 16);
    body += read_some(socket, size);
    CHECK(read_some(socket, 2) == "\r\n");
    if (size == 0) return body;
  }
}

inline std::string chunk(std::string_view data) {
  std::array<char, 20> size{};
  snprintf(size.data(), size.size(), "%zx\r\n", data.size());
  return size.data() + std::string(data) + "\r\n";
}

inline std::string ok(std::string_view body) {
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
      if (response.find("connection: close\r\n") != std::string::npos) return;
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

inline constexpr std::string_view kVip = "127.128.0.9";  // the alias of the Service below
inline const std::string kGet = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";

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

}  // namespace leat::proxy::test
