// The I/O around one http2::MessageSession, whoever is at its other end: a coroutine that reads, one that writes at
// turn ends; and HttpStream, one request of it and its response.
#pragma once

#include <algorithm>
#include <functional>
#include <list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "userspace-proxy/flow/session_stream.h"
#include "userspace-proxy/http1/body.h"
#include "userspace-proxy/http2/message_session.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {

class HttpStream;

class Http2Connection final : public SessionConnection {
 public:
  struct Handlers {
    // Server: a request has come; attach an HttpStream to it before returning.
    std::function<void(http2::MessageStream&)> request;
    // Something that decides over new streams has changed: it takes more of them or none, it has ended, one has gone.
    std::function<void()> changed;
  };

  Http2Connection(ring::Loop& loop, http2::Session::Role role, http2::Counters& counters, Handlers handlers)
      : SessionConnection(loop), session_(role, loop.buffers(), counters, loop.now()), handlers_(std::move(handlers)) {}

  // Runs the connection over `transport` (a ReadAhead) to its end. When it returns, no stream is attached any more.
  template <typename Transport>
  ring::Task<void> run(Transport& transport);
  // No new streams; ends when the open ones have.
  void drain();
  // Before run(): asks a quiet peer whether it lives, and ends without an answer.
  void keep_alive(ring::Clock::duration interval, ring::Clock::duration timeout);

  // Client: there is room for a stream, of `most` at once, beside those that are attached and not asked yet.
  [[nodiscard]] bool has_room(uint32_t most) const {
    return !ended_ && session_.can_open() &&
           session_.active_streams() + unasked_ < std::min(session_.max_streams(), most);
  }
  [[nodiscard]] uint32_t unasked() const { return unasked_; }
  [[nodiscard]] bool ended() const { return ended_; }
  // The peer's first bytes were HTTP/1.1's: it has made nothing of ours.
  [[nodiscard]] bool peer_speaks_http1() const { return peer_speaks_http1_; }
  [[nodiscard]] http2::MessageSession& session() { return session_; }

 private:
  friend class HttpStream;
  template <typename Transport>
  ring::Task<void> read(Transport& transport);
  template <typename Transport>
  ring::Task<void> write(Transport& transport);
  void dispatch();
  void look_at(const ring::Chain& first);
  void on_time();
  void left() override { handlers_.changed(); }
  http2::Session& layer() override { return session_; }

  http2::MessageSession session_;
  Handlers handlers_;
  std::optional<ring::Timer> alive_;  // where a quiet peer is asked
  uint32_t unasked_ = 0;
  bool unheard_ = true;
  bool peer_speaks_http1_ = false;
  bool reading_ended_ = false;
  bool ended_ = false;
};

// Connections whose other end opens the streams: those of a worker's clients.
class Http2Connections {
  struct Client {
    Http2Connection* connection;
    std::string_view pod;
  };

 public:
  // A connection's place in the list.
  class Place {
   public:
    // `pod`: uid of the client's, which outlives this.
    Place(Http2Connections& all, Http2Connection& connection, std::string_view pod)
        : all_(all), position_(all.list_.insert(all.list_.end(), {&connection, pod})) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { all_.list_.erase(position_); }

   private:
    Http2Connections& all_;
    std::list<Client>::iterator position_;
  };

  // All are told to open no more streams; they end when theirs have.
  void drain() {
    for (const Client& client : list_) client.connection->drain();
  }
  // The same for those of a pod that has left the mesh.
  void pod_gone(std::string_view uid) {
    for (const Client& client : list_) {
      if (client.pod == uid) client.connection->drain();
    }
  }
  void drain_idle(ring::Clock::time_point before) {
    for (const auto& [connection, pod] : list_) {
      if (connection->attached() == 0 && connection->idle_since() <= before) connection->drain();
    }
  }
  [[nodiscard]] size_t size() const { return list_.size(); }

 private:
  std::list<Client> list_;
};

// One request and its response. Attached to its connection, which outlives it.
class HttpStream : public SessionStream {
 public:
  // Server.
  HttpStream(Http2Connection& connection, http2::MessageStream& stream);
  // Client: room for a request; ask() sends it.
  explicit HttpStream(Http2Connection& connection);
  HttpStream(HttpStream&& other) noexcept;
  ~HttpStream();

  // ---- the peer's message, in the terms of http1/reader.h. Empty bytes tell nothing: the stream knows its end.
  http1::Step read(ring::Chain& input, ring::Chain& body);
  [[nodiscard]] const http1::RequestHead& request() const { return message().request(); }
  [[nodiscard]] const http1::ResponseHead& response() const { return message().response(); }
  http1::ResponseHead take_response() { return message().take_response(); }
  [[nodiscard]] const http1::Fields& trailers() const { return message().trailers(); }
  [[nodiscard]] http1::Fault fault() const { return stream() ? message().fault() : http1::Fault::kNone; }
  [[nodiscard]] bool started() const { return started_; }  // a head came
  [[nodiscard]] bool ended() const { return end_told_; }   // and all that follows it was read
  [[nodiscard]] uint64_t body_bytes() const { return body_bytes_; }

  // ---- ours
  // Client. `ended`: the request has no body. On a connection that takes no more streams: the stream is reset, and says
  // that it is unprocessed().
  void ask(const http1::RequestHead& head, const http1::RequestEdits& edits, bool ended);
  // Server: interim, or final.
  void respond(const http1::ResponseHead& head, const http1::Edits& edits, bool ended);
  void respond(uint16_t status, std::span<const http1::FieldLine> fields, bool ended);
  // After all that was sent. Once; not where the head had been the end.
  void finish(const http1::Fields& trailers);
  void finish() { finish({}); }

  void reset() { reset(http2::ResetCode::kCancel); }
  void reset(http2::ResetCode code);
  using SessionStream::leave;
  // The code that the peer has reset it with.
  [[nodiscard]] uint32_t reset_code() const { return reset_code_; }

  [[nodiscard]] Http2Connection& connection() const { return static_cast<Http2Connection&>(carrier()); }

 private:
  friend class Http2Connection;
  void on_event(const http2::MessageSession::Event& event);
  [[nodiscard]] http2::MessageStream& message() const { return static_cast<http2::MessageStream&>(*stream()); }

  uint64_t body_bytes_ = 0;
  uint32_t reset_code_ = 0;
  bool unasked_ = false;
  bool started_ = false;
  bool finished_ = false;
};

// ---- the connection's coroutines

template <typename Transport>
ring::Task<void> Http2Connection::run(Transport& transport) {
  flush_soon();  // SETTINGS
  if (alive_) alive_->arm(session_.next_deadline());
  co_await ring::both(read(transport), write(transport));
  ended_ = true;
  alive_.reset();
  handlers_.changed();
  co_await outlive_streams();
}

template <typename Transport>
ring::Task<void> Http2Connection::read(Transport& transport) {
  for (bool open = true; open;) {
    ring::IoResult<ring::Chain> bytes = co_await transport.recv();
    open = bytes && !bytes->empty();
    if (open) {
      if (std::exchange(unheard_, false)) look_at(*bytes);
      open = session_.feed(std::move(*bytes), loop_.now()).has_value();
      dispatch();
      open = open && !session_.finished();
      flush_soon();
    }
  }
  if (!session_.finished()) session_.abort(http2::ResetCode::kConnectError);
  reading_ended_ = true;
  dispatch();
  flush_soon();
}

template <typename Transport>
ring::Task<void> Http2Connection::write(Transport& transport) {
  for (;;) {
    co_await flush_.wait();
    ring::Chain bytes;
    session_.produce(bytes, http2::limits::kOutputBytes);
    dispatch();
    if (bytes.empty()) {
      if (reading_ended_) co_return;
      if (session_.finished()) transport.abandon();  // nothing left to say or hear
      if (session_.wants_produce()) {                // no blocks, or too few
        co_await loop_.sleep_until(loop_.now() + limits::kDryPoolRetry);
        flush_soon();
      }
      continue;
    }
    if (!co_await transport.send(std::move(bytes))) {
      transport.abandon();
      session_.abort(http2::ResetCode::kConnectError);
      dispatch();
      if (reading_ended_) co_return;
      continue;
    }
    flush_soon();
  }
}

}  // namespace leat::proxy
