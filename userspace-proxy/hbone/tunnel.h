// A Session inside a Channel: ciphertext in, stream events out, and back. Still without a socket; what owns the socket
// calls feed() with what it received, acts on next_event(), then sends produce().
#pragma once

#include <memory>
#include <vector>

#include "userspace-proxy/hbone/session.h"
#include "userspace-proxy/tls/channel.h"

namespace leat::hbone {

class Tunnel {
 public:
  // The dialling side; the peer must prove one of `expected`.
  static Tunnel client(tls::CredentialsPtr credentials, std::vector<SpiffeId> expected, ring::BufferPool& pool,
                       Counters& counters, Clock::time_point now);
  static Tunnel server(tls::CredentialsPtr credentials, ring::BufferPool& pool, Counters& counters,
                       Clock::time_point now);

  // Takes received bytes. An error ends the tunnel: send what produce() still has (an alert, a GOAWAY), then close.
  // failure() tells TLS reasons apart. All streams have got kReset by then. A dry pool is not an error: stalled() is
  // true, and feed({}, now) goes on when blocks are back. While !open() a call may cost a handshake's 0.7 ms of CPU.
  Result<void> feed(ring::Chain&& ciphertext, Clock::time_point now);
  // TCP ended (after feeding what was received).
  Result<void> feed_end(Clock::time_point now);
  // TCP broke.
  void abort() { session_->abort(ResetCode::kConnectError); }

  // Ciphertext to send, about limits::kOutputBytes at most; empty: nothing to send now, or (wants_produce() stays true)
  // the pool is dry. Call once a loop turn, when the previous send is done: everything that streams queued meanwhile
  // shares records. A finished tunnel ends with close_notify.
  [[nodiscard]] ring::Chain produce();
  [[nodiscard]] bool wants_produce() const;

  [[nodiscard]] bool open() const {
    return channel_.state() == tls::Channel::State::kOpen;
  }  // the handshake is through: peer() is known
  [[nodiscard]] bool stalled() const { return stalled_; }
  [[nodiscard]] bool finished() const { return session_->finished(); }
  [[nodiscard]] const tls::PeerCertificate& peer() const { return channel_.peer(); }
  [[nodiscard]] const tls::Failure& failure() const { return channel_.failure(); }
  // Streams and events. Streams may be opened at once; nothing leaves before the handshake is through.
  [[nodiscard]] Session& session() { return *session_; }

 private:
  Tunnel(tls::Channel channel, Session::Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now);

  tls::Channel channel_;
  std::unique_ptr<Session> session_;
  ring::Chain unsent_;  // produced by the session, not yet encrypted
  bool stalled_ = false;
};

}  // namespace leat::hbone
