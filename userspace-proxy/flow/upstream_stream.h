// An Upstream as one type of stream (ring/relay.h), for code that need not know which of the two it is.
#pragma once

#include <utility>
#include <variant>

#include "userspace-proxy/flow/dial.h"

namespace leat::proxy {

class UpstreamStream {
 public:
  explicit UpstreamStream(Upstream upstream) : upstream_(std::move(upstream)) {}

 private:
  // The awaiters of the two for one operation, as one.
  template <typename OfSocket, typename OfTunnel>
  class Either {
   public:
    template <typename Start>
    Either(Upstream& upstream, Start start)
        : operation_(
              std::visit([&](auto& stream) { return std::variant<OfSocket, OfTunnel>(start(stream)); }, upstream)) {}
    [[nodiscard]] bool await_ready() {
      return std::visit([](auto& operation) { return operation.await_ready(); }, operation_);
    }
    bool await_suspend(std::coroutine_handle<> waiter) {
      return std::visit(
          [&](auto& operation) {
            if constexpr (std::is_void_v<decltype(operation.await_suspend(waiter))>) {
              operation.await_suspend(waiter);
              return true;
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
    std::variant<OfSocket, OfTunnel> operation_;
  };

 public:
  using Receive = Either<ring::Socket::Receive, TunnelStream::Receive>;
  using Send = Either<ring::Socket::Send, TunnelStream::Send>;
  using Hangup = Either<ring::Socket::Hangup, TunnelStream::Hangup>;

  [[nodiscard]] Receive recv() {
    return {upstream_, [](auto& stream) { return stream.recv(); }};
  }
  [[nodiscard]] Send send(ring::Chain&& bytes) {
    return {upstream_, [&](auto& stream) { return stream.send(std::move(bytes)); }};
  }
  [[nodiscard]] Hangup hangup() {
    return {upstream_, [](auto& stream) { return stream.hangup(); }};
  }
  void finish() {
    std::visit([](auto& stream) { stream.finish(); }, upstream_);
  }
  void reset() {
    std::visit([](auto& stream) { stream.reset(); }, upstream_);
  }
  // A tunnel's stream has no end of its own for both directions: what has not ended by itself is reset.
  void close() {
    if (auto* socket = std::get_if<ring::Socket>(&upstream_)) return socket->close();
    std::get<TunnelStream>(upstream_).reset();
  }
  // The peer has said that no application has seen anything of it.
  [[nodiscard]] bool unprocessed() const {
    const auto* stream = std::get_if<TunnelStream>(&upstream_);
    return stream && stream->unprocessed();
  }
  [[nodiscard]] bool is_tunnel() const { return std::holds_alternative<TunnelStream>(upstream_); }

 private:
  Upstream upstream_;
};

}  // namespace leat::proxy
