#include "userspace-proxy/scrape/server.h"

#include <sys/socket.h>

#include <fmt/format.h>

#include "common/gzip.h"
#include "userspace-proxy/http1/reader.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/scrape/negotiate.h"

namespace leat::proxy::scrape {
namespace {

constexpr uint32_t kBlocks = limits::kScrapers + 1;  // of requests, while they are read

struct ShortAnswer {
  std::string_view status;
  std::string text;
};

}  // namespace

// One request and its answer. Deletes itself from the server's list at its end.
class Server::Connection {
 public:
  Connection(Server& server, UniqueFd socket) : server_(server), socket_(std::move(socket)) {
    server_.loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t) { read_some(); });
    patience_ = server_.loop_.after(limits::kScrapeRequestTime, [this] { give_up(); });
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    server_.loop_.cancel(patience_);
    server_.loop_.forget(socket_.get());
  }

  Connections::iterator place;  // of this one

 private:
  void read_some();
  void answer();
  void answer(const ShortAnswer& answer);
  void answer_metrics();
  void begin_metrics(ExpositionPtr exposition);
  void head(std::string_view status, std::string_view type, std::string_view more);
  void make_piece();
  void write_some();
  void give_up() {
    ++server_.counters_.ended;
    end();
  }
  void end() { server_.connections_.erase(place); }
  [[nodiscard]] const http1::RequestHead& request() const { return reader_.head(); }
  [[nodiscard]] std::string_view field(std::string_view name) const {
    return request().fields().get(name).value_or("");
  }
  [[nodiscard]] bool wants_body() const { return request().method() == http1::Method::kGet; }

  Server& server_;
  UniqueFd socket_;
  EventLoop::TimerId patience_ = 0;
  http1::RequestReader reader_;
  std::string out_;
  size_t sent_ = 0;  // of out_
  // Of an answer that is made while it is sent.
  ExpositionPtr exposition_;
  std::optional<Exposition::Text> text_;  // none: all of it is in out_
  std::optional<Gzip> gzip_;
  bool chunked_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // for answers that come when this has gone
};

Server::Server(EventLoop& loop, UniqueFd listener, Answers answers)
    : loop_(loop), listener_(std::move(listener)), answers_(std::move(answers)), blocks_(kBlocks) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_some(); });
}

Server::~Server() {
  connections_.clear();
  loop_.forget(listener_.get());
}

void Server::accept_some() {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket) return;  // gone again, or no descriptor left: the loop asks again
  if (connections_.size() == limits::kScrapers) {
    ++counters_.ended;
    connections_.pop_front();
  }
  connections_.push_back(std::make_unique<Connection>(*this, std::move(socket)));
  connections_.back()->place = std::prev(connections_.end());
}

// ---------------------------------------------------------------- the request

void Server::Connection::read_some() {
  ring::Buffer block = server_.blocks_.allocate();
  const ssize_t size =
      block.has_block() ? ::recv(socket_.get(), block.data(), ring::BufferPool::kBlockBytes, 0) : ssize_t{0};
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return end();
  block.grow(static_cast<uint32_t>(size));
  ring::Chain input(std::move(block));
  ring::Chain body;
  switch (reader_.read(input, body)) {
    case http1::Step::kNeedMore:
      return;
    case http1::Step::kHead:
    case http1::Step::kEnd:
      break;  // a body would be of no use
    case http1::Step::kFault:
      ++server_.counters_.requests;
      return answer({"400 Bad Request", "this is no request of HTTP/1.1\n"});
  }
  ++server_.counters_.requests;
  server_.loop_.forget(socket_.get());
  server_.loop_.cancel(patience_);
  patience_ = server_.loop_.after(limits::kScrapeTime, [this] { give_up(); });
  answer();
}

void Server::Connection::answer() {
  const std::string_view target = request().path_and_query();
  const std::string_view path = target.substr(0, target.find('?'));
  const auto state = [](const std::optional<std::string>& why_not) {
    return why_not ? ShortAnswer{"503 Service Unavailable", *why_not + "\n"} : ShortAnswer{"200 OK", "ok\n"};
  };
  if (!wants_body() && request().method() != http1::Method::kHead)
    return answer({"405 Method Not Allowed", "GET and HEAD only\n"});
  if (path == "/healthz") return answer(state(server_.answers_.healthy()));
  if (path == "/readyz") return answer(state(server_.answers_.ready()));
  if (path == "/metrics") return answer_metrics();
  answer({"404 Not Found", "there is /metrics, /healthz and /readyz\n"});
}

// ---------------------------------------------------------------- the answer

void Server::Connection::head(std::string_view status, std::string_view type, std::string_view more) {
  out_ = fmt::format("HTTP/1.1 {}\r\ncontent-type: {}\r\ncache-control: no-store\r\n{}connection: close\r\n\r\n",
                     status, type, more);
}

void Server::Connection::answer(const ShortAnswer& answer) {
  std::string more = fmt::format("content-length: {}\r\n", answer.text.size());
  if (answer.status.starts_with("405")) more += "allow: GET, HEAD\r\n";
  head(answer.status, "text/plain; charset=utf-8", more);
  if (!reader_.has_head() || request().method() != http1::Method::kHead) out_ += answer.text;
  write_some();
}

void Server::Connection::answer_metrics() {
  server_.answers_.metrics([this, alive = std::weak_ptr(alive_)](ExpositionPtr exposition) {
    if (!alive.expired()) begin_metrics(std::move(exposition));
  });
}

void Server::Connection::begin_metrics(ExpositionPtr exposition) {
  const ExpositionFormat format = choose_format(field("accept"));
  std::string more = "vary: accept, accept-encoding\r\n";
  if (accepts_gzip(field("accept-encoding"))) {
    gzip_.emplace();
    more += "content-encoding: gzip\r\n";
  }
  chunked_ = !request().connection().http10;  // else the close is the end
  if (chunked_) more += "transfer-encoding: chunked\r\n";
  head("200 OK", content_type(format), more);
  if (wants_body()) {
    exposition_ = std::move(exposition);
    text_.emplace(*exposition_, format);
  }
  write_some();
}

void Server::Connection::make_piece() {
  std::string piece;
  const bool ended = !text_->append(piece, limits::kScrapePiece);
  if (gzip_) {
    std::string packed;
    gzip_->append(piece, ended, packed);
    piece = std::move(packed);
  }
  if (!chunked_) out_ = std::move(piece);
  if (chunked_ && !piece.empty()) out_ = fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  if (!ended) return;
  if (chunked_) out_ += "0\r\n\r\n";
  text_.reset();
}

// A piece a turn: others of this thread are served in between.
void Server::Connection::write_some() {
  server_.loop_.forget(socket_.get());
  if (sent_ == out_.size() && text_) {
    out_.clear();
    sent_ = 0;
    make_piece();
  }
  if (sent_ < out_.size()) {
    const ssize_t size = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0 && errno != EINTR && errno != EAGAIN) return give_up();
    if (size > 0) sent_ += static_cast<size_t>(size);
  }
  if (sent_ < out_.size() || text_)
    return server_.loop_.watch(socket_.get(), EPOLLOUT, [this](uint32_t) { write_some(); });
  ::shutdown(socket_.get(), SHUT_WR);
  end();
}

// ---------------------------------------------------------------- the socket

Result<UniqueFd> listen_at(const SocketAddress& address) {
  const sa_family_t family = address.ip.is_v4() ? AF_INET : AF_INET6;
  UniqueFd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "making a socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_storage storage{};
  const socklen_t size = address.to_sockaddr(storage, family);
  constexpr int kQueue = 64;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0 || ::listen(socket.get(), kQueue) != 0)
    return fail_errno(errno, "listening at {}", address.text());
  return socket;
}

}  // namespace leat::proxy::scrape
