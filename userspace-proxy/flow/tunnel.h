// The I/O around one hbone::Tunnel: a coroutine that reads, one that writes at turn ends, timers; and TunnelStream, one
// CONNECT of it as a stream for relay().
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/hbone/tunnel.h"
#include "userspace-proxy/ring/socket.h"
#include "userspace-proxy/ring/task.h"
#include "userspace-proxy/telemetry/flow_table.h"

namespace leat::proxy {

class HandshakeGate;
class TunnelStream;

class TunnelConnection : ring::TurnHook {
 public:
  struct Handlers {
    // Server: a peer asks for a stream; attach a TunnelStream to it before returning.
    std::function<void(hbone::Stream&)> connect;
    // Something that decides over new streams has changed: the tunnel is open, has ended, takes more streams or none.
    std::function<void()> changed;
  };

  TunnelConnection(ring::Loop& loop, HandshakeGate& gate, ring::Socket socket, hbone::Tunnel tunnel, Handlers handlers);
  ~TunnelConnection() override = default;

  // Runs the connection to its end. When it returns, no stream is attached any more and the object may be destroyed.
  ring::Task<void> run(ring::Clock::time_point handshake_deadline);
  // Sends soon what was queued by somebody else than a TunnelStream.
  void wake() { flush_soon(); }
  // No new streams; ends when the open ones have.
  void drain();
  // Ends now, for this reason.
  void kill(Reason reason, std::string text);

  [[nodiscard]] bool open() const { return peer_ && !ended_; }  // the peer's identity is known
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] Reason failure() const { return failure_; }  // why it never opened, or kTunnelBroken
  [[nodiscard]] const std::string& failure_text() const { return failure_text_; }
  [[nodiscard]] bool saturated() const { return saturated_; }                  // streams queue more than one send takes
  [[nodiscard]] const Ref<const PeerIdentity>& peer() const { return peer_; }  // once open
  [[nodiscard]] const SpiffeId& peer_id() const { return tunnel_.peer().identity; }
  [[nodiscard]] hbone::Session& session() { return tunnel_.session(); }
  [[nodiscard]] size_t attached() const { return attached_; }
  [[nodiscard]] ring::Clock::time_point idle_since() const { return idle_since_; }  // while nothing is attached

 private:
  friend class TunnelStream;

  ring::Task<void> read();
  ring::Task<void> write();
  Result<void> feed(ring::Chain bytes);
  void dispatch();
  void turn_end() override;
  void flush_soon() { loop_.at_turn_end(*this); }
  void on_timer();
  void arm_timer();
  void fail(Reason reason, std::string text);
  void detach(TunnelStream& stream);

  ring::Loop& loop_;
  HandshakeGate& gate_;
  ring::Socket socket_;
  hbone::Tunnel tunnel_;
  Handlers handlers_;
  ring::Timer timer_;
  ring::Clock::time_point handshake_deadline_;
  ring::Clock::time_point idle_since_;
  ring::Signal flush_;
  ring::Signal detached_;
  Ref<const PeerIdentity> peer_;
  std::vector<TunnelStream*> cancelled_;  // their waiters are resumed at the turn's end
  size_t attached_ = 0;
  Reason failure_ = Reason::kTunnelBroken;
  bool saturated_ = false;
  bool reading_ended_ = false;
  bool ended_ = false;
  std::string failure_text_;
};

// One CONNECT. Attached to its connection, which outlives it.
class TunnelStream {
 public:
  TunnelStream(TunnelConnection& connection, hbone::Stream& stream);
  TunnelStream(TunnelStream&& other) noexcept;
  TunnelStream& operator=(TunnelStream&&) = delete;
  ~TunnelStream();

  class Receive;
  class Send;
  class Hangup;
  class Answer;

  // The stream concept of relay(). Bytes given out by recv() count as drained, so that the peer may send more, at the
  // next recv().
  [[nodiscard]] Receive recv();
  [[nodiscard]] Send send(ring::Chain&& bytes);
  // hangup() is for one that has read the peer's end: it waits until the stream is through both ways, or reset.
  [[nodiscard]] Hangup hangup();
  void finish();
  void reset();

  // Client: co_await → kNone when the peer has connected, else why not.
  [[nodiscard]] Answer answer(ring::Clock::time_point deadline);
  // Client: the peer has said that no application has seen anything of this stream.
  [[nodiscard]] bool unprocessed() const { return unprocessed_; }
  // Server.
  [[nodiscard]] const hbone::ConnectRequest& request() const { return stream_->request(); }
  void accept(std::string_view baggage);
  void refuse(uint32_t status, Reason reason);

  [[nodiscard]] TunnelConnection& connection() const { return *connection_; }

 private:
  friend class TunnelConnection;
  void on_event(const hbone::Event& event);
  [[nodiscard]] bool readable() const;  // recv() has something to give: bytes, or the end
  void wake_reader();
  void wake_writer();
  void wake_hangup();
  void wake_all();
  [[nodiscard]] bool dead() const { return reset_by_peer_ || cancelled_; }
  [[nodiscard]] ring::IoResult<void> outcome() const;

  TunnelConnection* connection_;
  hbone::Stream* stream_;  // null: moved from
  std::coroutine_handle<> reader_;
  std::coroutine_handle<> hangup_;  // or this one: it has read the end
  Send* sending_ = nullptr;
  Answer* asking_ = nullptr;
  uint32_t unreported_bytes_ = 0;  // given out by recv(), not yet reported as drained
  bool reset_by_peer_ = false;
  bool unprocessed_ = false;
  bool cancelled_ = false;
};

class TunnelStream::Receive {
 public:
  explicit Receive(TunnelStream& stream) : stream_(stream) {}
  [[nodiscard]] bool await_ready() const;
  void await_suspend(std::coroutine_handle<> waiter) { stream_.reader_ = waiter; }
  ring::IoResult<ring::Chain> await_resume();

 private:
  TunnelStream& stream_;
};

class TunnelStream::Hangup {
 public:
  explicit Hangup(TunnelStream& stream) : stream_(stream) {}
  [[nodiscard]] bool await_ready() const { return stream_.dead() || stream_.stream_->closed(); }
  void await_suspend(std::coroutine_handle<> waiter) { stream_.hangup_ = waiter; }
  [[nodiscard]] ring::IoResult<void> await_resume() const { return stream_.outcome(); }

 private:
  TunnelStream& stream_;
};

class TunnelStream::Send {
 public:
  Send(TunnelStream& stream, ring::Chain&& bytes) : stream_(stream), left_(std::move(bytes)) {}
  [[nodiscard]] bool await_ready() { return push(); }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    stream_.sending_ = this;
  }
  [[nodiscard]] ring::IoResult<void> await_resume() const { return stream_.outcome(); }

 private:
  friend class TunnelStream;
  bool push();  // true: through, one way or the other
  TunnelStream& stream_;
  ring::Chain left_;
  std::coroutine_handle<> waiter_;
};

class TunnelStream::Answer {
 public:
  Answer(TunnelStream& stream, ring::Clock::time_point deadline);
  [[nodiscard]] static bool await_ready() { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    stream_.asking_ = this;
    timer_.arm(deadline_);
  }
  [[nodiscard]] Reason await_resume() const { return reason_; }

 private:
  friend class TunnelStream;
  void settle(Reason reason);
  TunnelStream& stream_;
  ring::Clock::time_point deadline_;
  ring::Timer timer_;
  std::coroutine_handle<> waiter_;
  Reason reason_ = Reason::kConnectTimeout;
};

}  // namespace leat::proxy
