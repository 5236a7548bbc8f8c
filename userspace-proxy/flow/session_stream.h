// A stream of an HTTP/2 session as a stream for relay() (ring/relay.h), whatever its layer makes of it, and what all
// connections that carry such streams have in common.
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include "userspace-proxy/http2/session.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/relay.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class SessionStream;

// Writes once a turn what all streams have queued, so that they share records and system calls.
class SessionConnection : ring::TurnHook {
 public:
  SessionConnection(const SessionConnection&) = delete;
  SessionConnection& operator=(const SessionConnection&) = delete;

  // Sends soon what was queued by somebody else than a stream.
  void wake() { flush_soon(); }
  [[nodiscard]] size_t attached() const { return attached_; }
  [[nodiscard]] ring::Clock::time_point idle_since() const { return idle_since_; }  // while nothing is attached
  [[nodiscard]] ring::Loop& loop() const { return loop_; }

 protected:
  explicit SessionConnection(ring::Loop& loop) : loop_(loop), idle_since_(loop.now()) {}
  ~SessionConnection() override = default;

  void flush_soon() { loop_.at_turn_end(*this); }
  // Waits until no stream is attached any more. From here on nobody is told of changes.
  ring::Task<void> outlive_streams();
  // A stream has gone.
  virtual void left() = 0;

  ring::Loop& loop_;
  ring::Signal flush_;

 private:
  friend class SessionStream;
  virtual http2::Session& layer() = 0;
  void turn_end() override;
  void detach(SessionStream& stream);

  std::vector<SessionStream*> cancelled_;  // their waiters are resumed at the turn's end
  ring::Clock::time_point idle_since_;
  ring::Signal detached_;
  size_t attached_ = 0;
  bool over_ = false;
};

// Attached to its connection, which outlives it.
class SessionStream {
 public:
  SessionStream& operator=(SessionStream&&) = delete;

  class Receive;
  class Send;
  class Hangup;

  // The stream concept of relay(). Bytes given out by recv() count as drained, so that the peer may send more, at the
  // next recv().
  [[nodiscard]] Receive recv();
  [[nodiscard]] Send send(ring::Chain&& bytes);
  // hangup() is for one that has read the peer's end: it waits until the stream is through both ways, or reset.
  [[nodiscard]] Hangup hangup();
  void finish();

  // The peer has said that no application has seen anything of this stream.
  [[nodiscard]] bool unprocessed() const { return unprocessed_; }

 protected:
  // `stream` null: it comes later, by attach_to().
  SessionStream(SessionConnection& connection, http2::Stream* stream);
  SessionStream(SessionStream&& other) noexcept;
  ~SessionStream();

  void attach_to(http2::Stream& stream);
  [[nodiscard]] http2::Stream* stream() const { return stream_; }
  [[nodiscard]] SessionConnection& carrier() const { return *connection_; }
  void on_event(http2::EventKind kind, uint32_t code);
  void note_reset(uint32_t code);
  void reset(http2::ResetCode code);
  // Who waits at it gets ECANCELED, and so does who comes; the wire hears nothing of it before the stream is gone.
  void leave();
  void wake_reader();
  void flush() { connection_->flush_soon(); }
  [[nodiscard]] bool dead() const { return reset_by_peer_ || cancelled_; }

  // For layers whose streams carry messages: recv() completes, without bytes, when a head has come; it tells the end
  // once, after which it waits for a reset alone; and what came whole stands, even if a reset came behind it.
  bool carries_message_ = false;
  bool head_waits_ = false;
  bool end_told_ = false;

 private:
  friend class SessionConnection;
  [[nodiscard]] bool readable() const;  // recv() has something to give: bytes, or the end
  [[nodiscard]] bool has_news() const;
  void wake_writer();
  void wake_hangup();
  void wake_all();
  [[nodiscard]] ring::IoResult<void> outcome() const;

  SessionConnection* connection_;  // null: moved from
  http2::Stream* stream_;
  std::coroutine_handle<> reader_;
  std::coroutine_handle<> hangup_;  // or this one: it has read the end
  Send* sending_ = nullptr;
  uint32_t unreported_bytes_ = 0;  // given out by recv(), not yet reported as drained
  bool reset_by_peer_ = false;
  bool unprocessed_ = false;
  bool cancelled_ = false;
};

class SessionStream::Receive {
 public:
  explicit Receive(SessionStream& stream) : stream_(stream) {}
  [[nodiscard]] bool await_ready() const { return stream_.readable(); }
  void await_suspend(std::coroutine_handle<> waiter) { stream_.reader_ = waiter; }
  ring::IoResult<ring::Chain> await_resume();

 private:
  SessionStream& stream_;
};

class SessionStream::Hangup {
 public:
  explicit Hangup(SessionStream& stream) : stream_(stream) {}
  [[nodiscard]] bool await_ready() const { return stream_.dead() || stream_.stream_->closed(); }
  void await_suspend(std::coroutine_handle<> waiter) { stream_.hangup_ = waiter; }
  [[nodiscard]] ring::IoResult<void> await_resume() const { return stream_.outcome(); }

 private:
  SessionStream& stream_;
};

class SessionStream::Send {
 public:
  Send(SessionStream& stream, ring::Chain&& bytes) : stream_(stream), left_(std::move(bytes)) {}
  [[nodiscard]] bool await_ready() { return push(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    stream_.sending_ = this;
  }
  [[nodiscard]] ring::IoResult<void> await_resume() const { return stream_.outcome(); }

 private:
  friend class SessionStream;
  bool push();  // true: through, one way or the other
  SessionStream& stream_;
  ring::Chain left_;
  std::coroutine_handle<> waiter_;
};

}  // namespace leat::proxy
