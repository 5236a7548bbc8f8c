// A connection with an application, a stream of a tunnel, or a request of an HTTP/2 connection, as one type of stream
// (ring/relay.h), for code that need not know which of them it is.
#pragma once

#include <utility>
#include <variant>

#include "userspace-proxy/flow/dial.h"
#include "userspace-proxy/flow/http2_connection.h"

namespace leat::proxy {

class AnyStream {
 public:
  explicit AnyStream(ring::Socket socket) : stream_(std::move(socket)) {}
  explicit AnyStream(HttpStream stream) : stream_(std::move(stream)) {}
  explicit AnyStream(Upstream upstream)
      : stream_(std::visit(
            [](auto& stream) {
              return std::variant<ring::Socket, TunnelStream, HttpStream, TlsStream>(std::move(stream));
            },
            upstream)) {}

 private:
  // The awaiters of all for one operation, as one. What waits in a socket waits so under TLS too, where it may.
  template <typename OfSocket, typename OfStream, typename... OfTls>
  class Either {
   public:
    template <typename Of, typename Start>
    Either(Of& of, Start start)
        : operation_(std::visit([&](auto& stream) { return std::variant<OfSocket, OfStream, OfTls...>(start(stream)); },
                                of)) {}
    [[nodiscard]] bool await_ready() {
      return std::visit([](auto& operation) { return operation.await_ready(); }, operation_);
    }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
      return std::visit(
          [&](auto& operation) -> std::coroutine_handle<> {
            using Suspended = decltype(operation.await_suspend(waiter));
            if constexpr (std::is_void_v<Suspended>) {
              operation.await_suspend(waiter);
              return std::noop_coroutine();
            } else if constexpr (std::is_same_v<Suspended, bool>) {
              return operation.await_suspend(waiter) ? std::coroutine_handle<>(std::noop_coroutine()) : waiter;
            } else {
              return operation.await_suspend(waiter);
            }
          },
          operation_);
    }
    auto await_resume() {
      return std::visit([](auto& operation) { return operation.await_resume(); }, operation_);
    }

   private:
    std::variant<OfSocket, OfStream, OfTls...> operation_;
  };

 public:
  using Receive = Either<ring::Socket::Receive, SessionStream::Receive, TlsStream::Receive>;
  using Send = Either<ring::Socket::Send, SessionStream::Send, TlsStream::Send>;
  using Hangup = Either<ring::Socket::Hangup, SessionStream::Hangup>;

  [[nodiscard]] Receive recv() {
    return {stream_, [](auto& stream) { return stream.recv(); }};
  }
  [[nodiscard]] Send send(ring::Chain&& bytes) {
    return {stream_, [&](auto& stream) { return stream.send(std::move(bytes)); }};
  }
  [[nodiscard]] Hangup hangup() {
    return {stream_, [](auto& stream) { return stream.hangup(); }};
  }
  void finish() {
    std::visit([](auto& stream) { stream.finish(); }, stream_);
  }
  void reset() {
    std::visit([](auto& stream) { stream.reset(); }, stream_);
  }
  // A tunnel's stream has no end of its own for both directions: what has not ended by itself is reset. Of a request,
  // what is queued still goes out.
  void close() {
    if (auto* tunnel = std::get_if<TunnelStream>(&stream_)) return tunnel->reset();
    if (auto* tls = std::get_if<TlsStream>(&stream_)) return tls->close();
    socket() ? socket()->close() : request()->leave();
  }

  // The peer has said that no application has seen anything of it.
  [[nodiscard]] bool unprocessed() const {
    if (const auto* request = std::get_if<HttpStream>(&stream_)) return request->unprocessed();
    const auto* tunnel = std::get_if<TunnelStream>(&stream_);
    return tunnel && tunnel->unprocessed();
  }
  // It goes on, but the tunnel that carries it would like to end: the peer's proxy is being replaced.
  [[nodiscard]] bool is_leaving() const {
    const auto* tunnel = std::get_if<TunnelStream>(&stream_);
    return tunnel && tunnel->connection().session().draining();
  }
  [[nodiscard]] bool is_tunnel() const { return std::holds_alternative<TunnelStream>(stream_); }
  // Null where it is none.
  [[nodiscard]] ring::Socket* socket() { return std::get_if<ring::Socket>(&stream_); }
  [[nodiscard]] HttpStream* request() { return std::get_if<HttpStream>(&stream_); }

 private:
  std::variant<ring::Socket, TunnelStream, HttpStream, TlsStream> stream_;
};

}  // namespace leat::proxy
