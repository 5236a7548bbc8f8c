// The application at the end of a tunnel, as a stream (ring/relay.h) that does not keep it waiting for
// acknowledgements. Connections here live on from one request to the next, which the kernel takes for a conversation:
// it acknowledges with the next bytes of ours, or after 40 ms. An application that writes an answer in two pieces
// without TCP_NODELAY is held up by that each time. Where it seems to be, all that it sends is acknowledged at once
// from then on; others do not pay for it.
#pragma once

#include <utility>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/socket.h"

namespace leat::proxy {

class ApplicationStream {
 public:
  ApplicationStream(ring::Loop& loop, ring::Socket& socket) : loop_(loop), socket_(socket) {}

  class Receive {
   public:
    explicit Receive(ApplicationStream& from) : from_(from), operation_(from.socket_.recv()) {}
    [[nodiscard]] bool await_ready() const { return operation_.await_ready(); }
    void await_suspend(std::coroutine_handle<> waiter) { operation_.await_suspend(waiter); }
    ring::IoResult<ring::Chain> await_resume() {
      ring::IoResult<ring::Chain> got = operation_.await_resume();
      if (got && !got->empty()) from_.received();
      return got;
    }

   private:
    ApplicationStream& from_;
    ring::Socket::Receive operation_;
  };

  [[nodiscard]] Receive recv() { return Receive(*this); }
  [[nodiscard]] auto send(ring::Chain&& bytes) {
    spoke_last_ = false;
    return socket_.send(std::move(bytes));
  }
  [[nodiscard]] auto hangup() { return socket_.hangup(); }
  void finish() { socket_.finish(); }
  void reset() { socket_.reset(); }

 private:
  // Bytes after bytes, with nothing of ours between: as far apart as a delayed acknowledgement is late.
  void received() {
    const auto now = loop_.now();
    const auto gap = now - last_;
    if (spoke_last_ && gap >= limits::kLateAcknowledgement && gap <= 3 * limits::kLateAcknowledgement) eager_ = true;
    spoke_last_ = true;
    last_ = now;
    if (eager_) socket_.acknowledge();
  }

  ring::Loop& loop_;
  ring::Socket& socket_;
  ring::Clock::time_point last_{};  // that the application was heard of
  bool spoke_last_ = false;         // it, and not we
  bool eager_ = false;
};

}  // namespace leat::proxy
