// Applications that speak HTTP/2 over blocking sockets: a client, a server, and what they say to one another.
#pragma once

#include <poll.h>

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "tests/unit/userspace-proxy/flow/web.h"
#include "tests/unit/userspace-proxy/http2/message_pair.h"

namespace leat::proxy::test {

// A request at its server, or the response to one at its client.
struct Message {
  http2::MessageStream* stream;
  std::string head;  // the method and target, or the status; then a line each field
  std::string body;
  std::string trailers;
  std::optional<uint32_t> reset;
  bool whole = false;

  [[nodiscard]] bool over() const { return whole || reset; }
  [[nodiscard]] bool is(std::string_view start) const { return head.starts_with(start); }
  [[nodiscard]] bool says(std::string_view field) const {
    return head.find(field) != std::string::npos || trailers.find(field) != std::string::npos;
  }
};

inline http1::Fields fields_of(std::initializer_list<http1::FieldLine> lines) {
  http1::HeadBuilder builder;
  builder.begin(http1::HeadBuilder::Kind::kTrailers);
  for (const http1::FieldLine& line : lines) builder.add(line.name, line.value);
  http1::Fields fields;
  REQUIRE(builder.finish(fields) == http1::Fault::kNone);
  return fields;
}

class Http2Peer {
 public:
  using Role = http2::Session::Role;
  Http2Peer(Role role, const UniqueFd& socket)
      : socket_(socket), role_(role), session_(role, pool_, counters_, http2::Clock::now()) {}

  // ---- a client's
  // `head`: as in HTTP/1.1. `ended` false: more() follows.
  Message& ask(std::string_view head, std::string_view body = {}, bool ended = true) {
    http2::MessageStream& stream = session_.open(read_.request_head(head), {}, ended && body.empty());
    Message& message = messages_.emplace_back(&stream);
    stream.user = &message;
    if (!body.empty()) more(message, body, ended);
    flush();
    return message;
  }
  // The whole response, or its reset.
  Message& answer(Message& to, std::chrono::milliseconds patience = 10s) {
    CHECK(run([&] { return to.over(); }, patience));
    return to;
  }

  // ---- a server's
  // Waits for the next request that is whole; null: the client has gone, or `stop` holds.
  Message* next(const std::function<bool()>& stop = {}) {
    run([&] { return !whole_.empty() || (stop && stop()); }, 10min);
    if (whole_.empty()) return nullptr;
    Message* message = whole_.front();
    whole_.pop_front();
    return message;
  }
  void respond(Message& to, std::string_view head, std::string_view body = {},
               std::initializer_list<http1::FieldLine> trailers = {}) {
    session_.respond(*to.stream, read_.response_head(head), {}, body.empty() && trailers.size() == 0);
    if (!body.empty()) put(to, body, trailers.size() == 0);
    if (trailers.size() > 0) session_.end(*to.stream, fields_of(trailers));
    flush();  // all at once
  }
  // A head alone: interim, or with more() to follow.
  void begin(Message& to, std::string_view head) {
    session_.respond(*to.stream, read_.response_head(head), {}, false);
    flush();
  }

  // ---- both
  void more(Message& message, std::string_view body, bool ended) {
    put(message, body, ended);
    flush();
  }
  void put(Message& message, std::string_view body, bool ended) {
    ring::Chain bytes = leat::test::chain_of(pool_, body);
    session_.send(*message.stream, bytes);
    while (!bytes.empty() && run([&] { return session_.send(*message.stream, bytes), bytes.empty(); }, 10s)) {
    }
    if (ended) session_.end(*message.stream);
  }
  void end(Message& message, std::initializer_list<http1::FieldLine> trailers) {
    session_.end(*message.stream, fields_of(trailers));
    flush();
  }
  void reset(Message& message, http2::ResetCode code) {
    session_.reset(*message.stream, code);
    flush();
  }
  void drain() {
    session_.drain();
    flush();
  }
  // Reads and writes until `done`. False: the time is up, or the peer has gone.
  bool run(const std::function<bool()>& done, std::chrono::milliseconds patience = 10s) {
    const auto deadline = http2::Clock::now() + patience;
    for (;;) {
      take_events();
      if (done()) return true;
      flush();
      pollfd readable{socket_.get(), POLLIN, 0};
      if (http2::Clock::now() > deadline) return false;
      if (poll(&readable, 1, 20) <= 0) continue;
      std::string bytes(65536, '\0');
      const ssize_t size = recv(socket_.get(), bytes.data(), bytes.size(), 0);
      if (size <= 0) {
        gone_ = true;
        session_.abort(http2::ResetCode::kConnectError);
        take_events();
        return done();
      }
      bytes.resize(static_cast<size_t>(size));
      (void)session_.feed(leat::test::chain_of(pool_, bytes), http2::Clock::now());
    }
  }
  void flush() {
    while (true) {
      const std::string bytes = leat::test::output_of(session_, 100'000);
      if (bytes.empty()) return;
      send_all(socket_, bytes);
    }
  }
  [[nodiscard]] bool gone() const { return gone_; }             // the peer has closed the connection
  [[nodiscard]] bool told_to_leave() const { return goaway_; }  // by GOAWAY
  [[nodiscard]] http2::MessageSession& session() { return session_; }

 private:
  void take_events() {
    http2::MessageSession::Event event;
    while (session_.next_event(event)) {
      if (event.kind == http2::EventKind::kGoaway) goaway_ = true;
      if (event.stream) take(event);
    }
  }
  void take(const http2::MessageSession::Event& event) {
    using http2::EventKind;
    http2::MessageStream& stream = *event.stream;
    if (event.kind == EventKind::kRequest) {
      Message& message = messages_.emplace_back(&stream);
      stream.user = &message;
      message.head.append(stream.request().method_text()).append(" ").append(stream.request().path_and_query());
      message.head.append("\n").append(leat::test::text_of(stream.request().fields()));
    }
    auto* message = static_cast<Message*>(stream.user);
    if (!message) return;
    if (event.kind == EventKind::kResponse) {
      message->head.append(stream.response().status_text()).append("\n");
      message->head.append(leat::test::text_of(stream.response().fields()));
    }
    const ring::Chain got = std::move(stream.received());
    message->body += leat::test::text_of(got);
    session_.consumed(stream, got.size());
    if (event.kind == EventKind::kReset) message->reset = event.code;
    if (stream.peer_ended() && !message->whole) {
      message->whole = true;
      message->trailers = leat::test::text_of(stream.trailers());
      if (role_ == Role::kServer) whole_.push_back(message);
    }
  }

  const UniqueFd& socket_;
  Role role_;
  ring::BufferPool pool_{4096};
  http2::Counters counters_;
  http2::MessageSession session_;
  leat::test::Read read_;
  std::deque<Message> messages_;
  std::deque<Message*> whole_;
  bool gone_ = false;
  bool goaway_ = false;
};

// Connects, and speaks HTTP/2.
struct Http2Client {
  UniqueFd socket;
  Http2Peer peer;
  explicit Http2Client(UniqueFd connected) : socket(std::move(connected)), peer(Http2Peer::Role::kClient, socket) {}
  Message& get(std::string_view fields = "") {
    return peer.answer(peer.ask("GET / HTTP/1.1\r\nhost: web\r\n" + std::string(fields) + "\r\n"));
  }
  Message& post(std::string_view body, std::string_view fields = "") {
    return peer.answer(peer.ask("POST / HTTP/1.1\r\nhost: web\r\n" + std::string(fields) + "\r\n", body));
  }
  // A call without a message.
  Message& call(std::string_view fields = "") {
    return post(std::string(5, '\0'), "content-type: application/grpc\r\nte: trailers\r\n" + std::string(fields));
  }
};

// Lets `respond` answer each request of each connection once it is whole.
class Http2Server {
 public:
  using Respond = std::function<void(Http2Peer&, Message&)>;
  Http2Server(const Pod& pod, Respond respond)
      : respond_(std::move(respond)), server_(pod.ip, 8080, [this](UniqueFd connection, SocketAddress) {
          Http2Peer peer(Http2Peer::Role::kServer, connection);
          peer.flush();
          while (Message* request = peer.next([this] { return ended_.load(); })) respond_(peer, *request);
        }) {}
  ~Http2Server() { ended_ = true; }
  [[nodiscard]] int accepted() const { return server_.accepted(); }

 private:
  Respond respond_;
  std::atomic<bool> ended_ = false;
  Server server_;
};

inline const std::string kOk2 = "HTTP/1.1 200 OK\r\n\r\n";
inline const std::string kGrpcOk = "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\n\r\n";

// A server without HTTP/2: it answers the preface as one does, and remembers that it was asked.
class Http1Only {
 public:
  using Respond = std::function<std::string(const std::string& request)>;
  Http1Only(const Pod& pod, Respond respond)
      : respond_(std::move(respond)), server_(pod, [this](const std::string& request) {
          if (!request.starts_with("PRI ")) return respond_(request);
          ++offers_;
          return std::string("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }) {}
  [[nodiscard]] int offers() const { return offers_; }

 private:
  Respond respond_;
  std::atomic<int> offers_ = 0;
  HttpServer server_;
};

}  // namespace leat::proxy::test
