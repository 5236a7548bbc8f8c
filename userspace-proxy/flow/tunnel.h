// The I/O around one hbone::Tunnel: a coroutine that reads, one that writes at turn ends, timers; and TunnelStream, one
// CONNECT of it as a stream for relay().
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/session_stream.h"
#include "userspace-proxy/hbone/tunnel.h"
#include "userspace-proxy/ring/socket.h"
#include "userspace-proxy/ring/task.h"
#include "userspace-proxy/telemetry/flow_table.h"

namespace leat::proxy {

class HandshakeGate;
class TunnelStream;

class TunnelConnection : public SessionConnection {
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

 private:
  friend class TunnelStream;

  ring::Task<void> read();
  ring::Task<void> write();
  Result<void> feed(ring::Chain bytes);
  void dispatch();
  void left() override { handlers_.changed(); }
  http2::Session& layer() override { return tunnel_.session(); }
  void on_timer();
  void arm_timer();
  void fail(Reason reason, std::string text);

  HandshakeGate& gate_;
  ring::Socket socket_;
  hbone::Tunnel tunnel_;
  Handlers handlers_;
  ring::Timer timer_;
  ring::Clock::time_point handshake_deadline_;
  Ref<const PeerIdentity> peer_;
  Reason failure_ = Reason::kTunnelBroken;
  bool saturated_ = false;
  bool reading_ended_ = false;
  bool ended_ = false;
  std::string failure_text_;
};

// One CONNECT. Attached to its connection, which outlives it.
class TunnelStream : public SessionStream {
 public:
  TunnelStream(TunnelConnection& connection, hbone::Stream& stream) : SessionStream(connection, &stream) {}
  TunnelStream(TunnelStream&& other) noexcept;

  class Answer;

  void reset() { SessionStream::reset(http2::ResetCode::kConnectError); }

  // Client: co_await → kNone when the peer has connected, else why not.
  [[nodiscard]] Answer answer(ring::Clock::time_point deadline);
  // Client: the peer has said that no application has seen anything of this stream.
  [[nodiscard]] bool unprocessed() const { return refused_ || SessionStream::unprocessed(); }
  // Server.
  [[nodiscard]] const hbone::ConnectRequest& request() const { return connect().request(); }
  void accept(std::string_view baggage);
  void refuse(uint32_t status, Reason reason);

  [[nodiscard]] TunnelConnection& connection() const { return static_cast<TunnelConnection&>(carrier()); }

 private:
  friend class TunnelConnection;
  void on_event(const hbone::Event& event);
  [[nodiscard]] hbone::Stream& connect() const { return static_cast<hbone::Stream&>(*stream()); }

  Answer* asking_ = nullptr;
  bool refused_ = false;
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
