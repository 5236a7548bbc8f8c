#include "userspace-proxy/hbone/tunnel.h"

namespace leat::hbone {

Tunnel Tunnel::client(tls::CredentialsPtr credentials, std::vector<SpiffeId> expected, ring::BufferPool& pool,
                      Counters& counters, Clock::time_point now) {
  Tunnel tunnel(tls::Channel::client(std::move(credentials), std::move(expected), pool), Session::Role::kClient, pool,
                counters, now);
  tunnel.channel_.handshake();  // the ClientHello
  return tunnel;
}

Tunnel Tunnel::server(tls::CredentialsPtr credentials, ring::BufferPool& pool, Counters& counters,
                      Clock::time_point now) {
  return Tunnel(tls::Channel::server(std::move(credentials), pool), Session::Role::kServer, pool, counters, now);
}

Tunnel::Tunnel(tls::Channel channel, Session::Role role, ring::BufferPool& pool, Counters& counters,
               Clock::time_point now)
    : channel_(std::move(channel)), session_(std::make_unique<Session>(role, pool, counters, now)) {}

Result<void> Tunnel::feed(ring::Chain&& ciphertext, Clock::time_point now) {
  channel_.feed(std::move(ciphertext));
  channel_.handshake();
  ring::Chain plaintext;
  const tls::Channel::State state = channel_.read(plaintext);
  stalled_ = channel_.stalled();
  LEAT_TRY_VOID(session_->feed(std::move(plaintext), now));
  if (state == tls::Channel::State::kHandshaking || state == tls::Channel::State::kOpen) return {};

  session_->abort(ResetCode::kConnectError);
  if (state == tls::Channel::State::kPeerClosed) return {};
  const tls::Failure& failure = channel_.failure();
  const ErrorCode code = failure.kind == tls::FailureKind::kTruncated ? ErrorCode::kReset : ErrorCode::kProtocol;
  return fail(code, "TLS: {}: {}", tls::name(failure.kind), failure.message);
}

Result<void> Tunnel::feed_end(Clock::time_point now) {
  channel_.feed_end();
  return feed({}, now);
}

ring::Chain Tunnel::produce() {
  session_->produce(unsent_, channel_.state() == tls::Channel::State::kHandshaking ? 0 : limits::kOutputBytes);
  channel_.write(unsent_, limits::kOutputBytes);
  if (unsent_.empty() && session_->finished()) channel_.close();
  return channel_.take_output();
}

bool Tunnel::wants_produce() const {
  if (channel_.output_size() > 0) return true;
  if (!open()) return false;
  return !unsent_.empty() || session_->wants_produce() || (session_->finished() && !channel_.close_sent());
}

}  // namespace leat::hbone
