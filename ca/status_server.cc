#include "ca/status_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace leat::ca {
namespace {

constexpr size_t kLongestHead = 8 * 1024;
constexpr size_t kMostVisitors = 64;
constexpr std::chrono::seconds kPatience{5};

}  // namespace

Result<std::unique_ptr<StatusServer>> StatusServer::open(EventLoop& loop, const std::string& address, Pages pages) {
  const auto parsed = SocketAddress::parse(address);
  if (!parsed) return fail(ErrorCode::kInvalid, "{} is not IP:PORT", address);
  sockaddr_storage storage{};
  const sa_family_t family = parsed->ip.is_v4() ? AF_INET : AF_INET6;
  const socklen_t size = parsed->to_sockaddr(storage, family);
  UniqueFd listener(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&storage), size) != 0 ||
      ::listen(listener.get(), 16) != 0) {
    return fail_errno(errno, "listening on {}", address);
  }
  return std::unique_ptr<StatusServer>(new StatusServer(loop, std::move(listener), std::move(pages)));
}

StatusServer::StatusServer(EventLoop& loop, UniqueFd listener, Pages pages)
    : loop_(loop), listener_(std::move(listener)), pages_(std::move(pages)) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_one(); });
}

StatusServer::~StatusServer() {
  loop_.forget(listener_.get());
  while (!visitors_.empty()) leave(visitors_.begin()->first);
}

void StatusServer::accept_one() {
  UniqueFd visitor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!visitor || visitors_.size() >= kMostVisitors) return;
  const int fd = visitor.get();
  loop_.watch(fd, EPOLLIN, [this, fd](uint32_t) { read_from(fd); });
  visitors_[fd] = {.fd = std::move(visitor), .head = {}, .timer = loop_.after(kPatience, [this, fd] { leave(fd); })};
}

void StatusServer::leave(int fd) {
  const auto found = visitors_.find(fd);
  loop_.cancel(found->second.timer);
  loop_.forget(fd);
  visitors_.erase(found);
}

void StatusServer::read_from(int fd) {
  std::string& head = visitors_.at(fd).head;
  std::array<char, 4096> piece;
  const ssize_t size = ::recv(fd, piece.data(), piece.size(), 0);
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) return leave(fd);
  head.append(piece.data(), static_cast<size_t>(size));
  if (head.find("\r\n\r\n") == std::string::npos && head.size() < kLongestHead) return;
  const std::string answer = answer_to(head);  // less than a socket's buffer
  static_cast<void>(::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL));
  ::shutdown(fd, SHUT_WR);
  leave(fd);
}

std::string StatusServer::answer_to(const std::string& head) const {
  const size_t end = head.find(' ', 4);
  const std::string path = head.starts_with("GET ") && end != std::string::npos ? head.substr(4, end - 4) : "";
  const auto page = pages_.find(path);
  const char* status = "404 Not Found";
  std::string body = "not found\n";
  if (page != pages_.end()) {
    const Page made = page->second();
    status = made.good ? "200 OK" : "503 Service Unavailable";
    body = made.body;
  }
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n{}",
      status, body.size(), body);
}

}  // namespace leat::ca
