// A connection to a server outside the mesh in TLS that we start (tls/origin.h), as a stream (ring/relay.h).
#pragma once

#include <memory>
#include <string_view>

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/socket.h"
#include "userspace-proxy/ring/task.h"
#include "userspace-proxy/tls/channel.h"

namespace leat::proxy {

class Worker;

class TlsStream {
 public:
  // The awaiter of a coroutine that this stream runs.
  template <typename T>
  class Operation {
   public:
    explicit Operation(ring::Task<T> task) : task_(std::move(task)), awaiter_(std::move(task_).operator co_await()) {}
    Operation(Operation&& other) noexcept
        : task_(std::move(other.task_)), awaiter_(std::move(task_).operator co_await()) {}
    [[nodiscard]] static bool await_ready() { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) { return awaiter_.await_suspend(waiter); }
    T await_resume() { return awaiter_.await_resume(); }

   private:
    ring::Task<T> task_;
    typename ring::Task<T>::Awaiter awaiter_;
  };
  using Receive = Operation<ring::IoResult<ring::Chain>>;
  using Send = Operation<ring::IoResult<void>>;

  // The handshake is through.
  TlsStream(ring::Loop& loop, ring::Socket socket, tls::Channel channel);

  [[nodiscard]] Receive recv() { return Receive(receive(*state_)); }
  [[nodiscard]] Send send(ring::Chain&& bytes) { return Send(transmit(*state_, std::move(bytes))); }
  [[nodiscard]] ring::Socket::Hangup hangup() { return state_->socket.hangup(); }
  // close_notify, then the end of our direction. A server that has been told so may end the other one at once.
  void finish();
  void reset() { state_->socket.reset(); }
  void close();

 private:
  // Where operations in flight find it while the stream is moved about.
  struct State {
    ring::Loop& loop;
    ring::Socket socket;
    tls::Channel channel;
  };
  static ring::Task<ring::IoResult<ring::Chain>> receive(State& state);
  static ring::Task<ring::IoResult<void>> transmit(State& state, ring::Chain bytes);
  void say_goodbye();

  std::unique_ptr<State> state_;
};

// Starts TLS on a connected socket, as the backend's policy says. `alpn`: what will be spoken; empty: nobody knows.
// What goes wrong is logged with its reason, at most once a second a worker.
ring::Task<Outcome<TlsStream>> start_tls(Worker& worker, ring::Socket socket, const Backend& backend,
                                         std::string_view alpn, ring::Clock::time_point deadline);

}  // namespace leat::proxy
