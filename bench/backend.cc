// The server behind every column of the benchmark and of the load tests: one thread, one epoll, five ports from a base
// on.
//   base      HTTP/1.1 keep-alive: each request (headers only) gets the same body
//   base + 1  echo
//   base + 2  sink: reads and forgets
//   base + 3  source: writes for as long as the client reads
//   base + 4  echo of the first that comes, then the end
// A client that half-closes gets everything that was owed to it, then the end.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace {

constexpr int kBacklog = 4096;
constexpr size_t kChunkBytes = 256 * 1024;

// Finds a pattern in a stream that may be split anywhere.
class Finder {
 public:
  explicit Finder(std::string_view pattern) : pattern_(pattern) {}
  bool completed_by(char byte) {
    matched_ = byte == pattern_[matched_] ? matched_ + 1 : static_cast<size_t>(byte == pattern_[0]);
    if (matched_ < pattern_.size()) return false;
    matched_ = 0;
    return true;
  }

 private:
  std::string_view pattern_;
  size_t matched_ = 0;
};

enum class Service { kHttp, kEcho, kSink, kSource, kEchoOnce };
constexpr int kServices = 5;

struct Connection {
  int fd = -1;
  Service service = Service::kHttp;
  bool listening = false;
  Finder end_of_request{"\r\n\r\n"};
  Finder wish_to_close{"\r\nConnection: close\r\n"};
  bool last = false;     // what is owed is the last
  std::string owed;      // accepted by nobody yet
  bool ended = false;    // the client will send no more
  bool writing = false;  // EPOLLOUT is asked for
};

class Backend {
 public:
  Backend(uint16_t base_port, size_t body_bytes) : response_(make_response(body_bytes)) {
    for (int service = 0; service < kServices; ++service) {
      Connection& listener = listeners_.at(static_cast<size_t>(service));
      listener.fd = make_listener(static_cast<uint16_t>(base_port + service));
      listener.service = static_cast<Service>(service);
      listener.listening = true;
      watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    }
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), events.size(), -1);
      for (int i = 0; i < count; ++i) handle(*static_cast<Connection*>(events[i].data.ptr), events[i].events);
    }
  }

 private:
  static std::string make_response(size_t body_bytes) {
    return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body_bytes) + "\r\n\r\n" +
           std::string(body_bytes, 'x');
  }

  static int make_listener(uint16_t port) {
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    const int off = 0;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, kBacklog) != 0) {
      std::fprintf(stderr, "bench_backend: port %u: %s\n", port, std::strerror(errno));
      std::exit(1);
    }
    return fd;
  }

  void watch(int operation, Connection& connection, uint32_t events) {
    epoll_event event{.events = events, .data = {.ptr = &connection}};
    epoll_ctl(epoll_, operation, connection.fd, &event);
  }

  void handle(Connection& connection, uint32_t events) {
    if (connection.listening) return accept_all(connection);
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !connection.ended && !receive(connection))
      return close_one(connection);
    if (!send(connection)) return close_one(connection);
  }

  void accept_all(const Connection& listener) {
    for (;;) {
      const int fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      Connection& connection = connections_[fd];
      connection.fd = fd;
      connection.service = listener.service;
      connection.writing = listener.service == Service::kSource;
      watch(EPOLL_CTL_ADD, connection, connection.writing ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
  }

  // False when the connection is over. One read a turn, so that no client starves another.
  bool receive(Connection& connection) {
    const ssize_t got = recv(connection.fd, chunk_.get(), kChunkBytes, 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) {
      connection.ended = true;
      return true;
    }
    const std::string_view bytes(chunk_.get(), static_cast<size_t>(got));
    if (connection.service == Service::kEcho || connection.service == Service::kEchoOnce) connection.owed += bytes;
    if (connection.service == Service::kEchoOnce) connection.last = true;
    if (connection.service == Service::kHttp) answer(connection, bytes);
    return true;
  }

  void answer(Connection& connection, std::string_view bytes) {
    for (const char byte : bytes) {
      if (connection.wish_to_close.completed_by(byte)) connection.last = true;
      if (connection.end_of_request.completed_by(byte)) connection.owed += response_;
    }
  }

  bool send(Connection& connection) {
    if (connection.service == Service::kSource) {
      if (connection.ended) return false;
      const ssize_t sent = ::send(connection.fd, chunk_.get(), kChunkBytes, MSG_NOSIGNAL);
      return sent >= 0 || errno == EAGAIN;
    }
    if (!connection.owed.empty()) {
      const ssize_t sent = ::send(connection.fd, connection.owed.data(), connection.owed.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) return false;
      if (sent > 0) connection.owed.erase(0, static_cast<size_t>(sent));
      // A connection that idles for an hour must not keep the buffer of its busiest second.
      if (connection.owed.empty()) connection.owed.shrink_to_fit();
    }
    if (connection.owed.empty() && (connection.ended || connection.last)) return false;
    const bool more = !connection.owed.empty();
    if (more != connection.writing) {
      connection.writing = more;
      watch(EPOLL_CTL_MOD, connection, (connection.ended ? 0 : EPOLLIN) | (more ? EPOLLOUT : 0));
    }
    return true;
  }

  void close_one(const Connection& connection) {
    const int fd = connection.fd;
    connections_.erase(fd);
    close(fd);
  }

  int epoll_ = epoll_create1(EPOLL_CLOEXEC);
  std::string response_;
  std::array<Connection, kServices> listeners_;
  std::unordered_map<int, Connection> connections_;  // by descriptor; epoll points into it
  std::unique_ptr<char[]> chunk_ = std::make_unique<char[]>(kChunkBytes);
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_backend BASE_PORT [BODY_BYTES]\n");
    return 2;
  }
  Backend backend(static_cast<uint16_t>(std::atoi(argv[1])), argc > 2 ? static_cast<size_t>(std::atol(argv[2])) : 1024);
  std::puts("serving");
  std::fflush(stdout);
  backend.run();
}
