// One TCP connection (or any stream socket) on a loop, for coroutines. At most one recv() and one send() or connect()
// wait at a time; they may wait together. Whatever is called while operations are in flight is safe: what waits
// completes with ECANCELED in a later turn, and the descriptor is closed when nothing is in flight any more. Operations
// on a closed socket complete at once with ECANCELED.
#pragma once

#include <optional>

#include "common/ip.h"
#include "common/unique_fd.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/operation.h"

namespace leat::ring {

class Socket {
 public:
  class Receive;
  class Send;
  class Connect;
  class Hangup;

  Socket() = default;  // closed
  Socket(Loop& loop, UniqueFd fd);
  Socket(Socket&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      close();
      state_ = std::exchange(other.state_, nullptr);
    }
    return *this;
  }
  ~Socket() { close(); }

  // co_await → IoResult<Chain>. Bytes as soon as there are any, several blocks at once when many wait; an empty Chain:
  // the peer ended its direction. Reads nothing ahead: while nobody awaits recv(), the kernel's window holds the peer
  // back.
  [[nodiscard]] Receive recv();
  // At once: what waits in the kernel, one block at most. Empty where nothing does (which tells nothing: the end and no
  // bytes yet look alike, recv() tells them apart), or where the pool is dry. Not while a recv() waits.
  [[nodiscard]] IoResult<Chain> try_recv();
  // The next recv() gives these bytes: they were read too early. Not while one waits.
  void unread(Chain&& bytes);
  // co_await → IoResult<void>: the kernel has taken all of it. On failure, how much it took is unknown. Never raises
  // SIGPIPE.
  [[nodiscard]] Send send(Chain&& bytes);
  // co_await → IoResult<void>; ETIMEDOUT when `deadline` passes first. Turns Nagle's algorithm off.
  [[nodiscard]] Connect connect(const SocketAddress& to, Clock::time_point deadline);
  // co_await → IoResult<void>: success when the connection is dead both ways (a reset, an error, or both directions
  // ended). To learn of a reset while not reading.
  [[nodiscard]] Hangup hangup();

  // The waiting recv() completes with ECANCELED, or with what it had already received. Nothing if none waits.
  void cancel_recv();
  void cancel_all();
  // Ends our direction: the peer reads its end after all that was sent. Call when no send is in flight.
  void shutdown_write();
  void finish() { shutdown_write(); }  // the name that relay() knows
  // The peer sees a reset; unsent bytes are dropped. Closes.
  void reset();
  void close();

  // Tells the peer now, not up to 40 ms later, that its bytes have arrived: one that sends a message in two pieces, and
  // not with TCP_NODELAY, holds the second one back until then.
  void acknowledge();
  // Its receives may take the reserved blocks too. For a connection whose bytes let others go on (a tunnel: its window
  // updates free what hundreds of streams hold), which would otherwise wait for blocks that only it can free. Call
  // while no recv() waits.
  void use_reserve();
  // Chooses the source address and leaves the port to connect() (IP_BIND_ADDRESS_NO_PORT), before connect().
  [[nodiscard]] IoResult<void> bind_source(const IpAddress& address);
  [[nodiscard]] SocketAddress local_address() const;  // ::, port 0 if the socket is closed or not of an IP family
  [[nodiscard]] SocketAddress peer_address() const;
  [[nodiscard]] int fd() const;  // -1 when closed; for getsockopt, setsockopt only
  [[nodiscard]] bool is_open() const { return state_ != nullptr; }

 private:
  SocketState* state_ = nullptr;  // owned; outlives this handle while operations are in flight
};

class Socket::Receive : ReceiveOperation {
 public:
  [[nodiscard]] bool await_ready() const;
  void await_suspend(std::coroutine_handle<> handle);
  [[nodiscard]] IoResult<Chain> await_resume();

 private:
  friend class Socket;
  using ReceiveOperation::ReceiveOperation;
};

class Socket::Send : SendOperation {
 public:
  [[nodiscard]] bool await_ready() const { return socket == nullptr || left.empty(); }
  bool await_suspend(std::coroutine_handle<> handle);
  [[nodiscard]] IoResult<void> await_resume();

 private:
  friend class Socket;
  using SendOperation::SendOperation;
};

class Socket::Connect : ConnectOperation {
 public:
  [[nodiscard]] bool await_ready() const { return socket == nullptr; }
  bool await_suspend(std::coroutine_handle<> handle);
  [[nodiscard]] IoResult<void> await_resume();

 private:
  friend class Socket;
  Connect(SocketState* of, const SocketAddress& to, Clock::time_point deadline);
  void timed_out();
  Clock::time_point deadline_;
  bool late_ = false;
  std::optional<Timer> timer_;
};

class Socket::Hangup : HangupOperation {
 public:
  [[nodiscard]] bool await_ready() const { return socket == nullptr; }
  void await_suspend(std::coroutine_handle<> handle);
  [[nodiscard]] IoResult<void> await_resume();

 private:
  friend class Socket;
  using HangupOperation::HangupOperation;
};

}  // namespace leat::ring
