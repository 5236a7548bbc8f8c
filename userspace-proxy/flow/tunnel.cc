#include "userspace-proxy/flow/tunnel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/check.h"
#include "common/log.h"
#include "userspace-proxy/flow/handshake_gate.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {
namespace {

// What a refused or failed handshake means to the flows that wait for it.
Reason reason_of(const tls::Failure& failure) {
  switch (failure.kind) {
    case tls::FailureKind::kNone:
      return Reason::kProtocolBreach;  // TLS is well: HTTP/2 was broken
    case tls::FailureKind::kUnexpectedIdentity:
      return Reason::kUnexpectedIdentity;
    case tls::FailureKind::kNoCertificate:
    case tls::FailureKind::kExpired:
    case tls::FailureKind::kNotYetValid:
    case tls::FailureKind::kUnknownIssuer:
    case tls::FailureKind::kBadCertificate:
    case tls::FailureKind::kWrongUsage:
    case tls::FailureKind::kNoUriSan:
    case tls::FailureKind::kSeveralUriSans:
    case tls::FailureKind::kNotSpiffe:
    case tls::FailureKind::kWrongTrustDomain:
      return Reason::kUntrustedPeer;
    default:
      return Reason::kTlsFailed;
  }
}

Reason reason_of_status(uint32_t status) {
  switch (status) {
    case 401:
    case 403:
      return Reason::kDeniedByPeer;
    case 400:
      return Reason::kBadRequestByPeer;
    default:
      return Reason::kRefusedByPeer;
  }
}

}  // namespace

// ---- TunnelConnection

TunnelConnection::TunnelConnection(ring::Loop& loop, HandshakeGate& gate, ring::Socket socket, hbone::Tunnel tunnel,
                                   Handlers handlers)
    : SessionConnection(loop),
      gate_(gate),
      socket_(std::move(socket)),
      tunnel_(std::move(tunnel)),
      handlers_(std::move(handlers)),
      timer_(loop.timers(), [this] { on_timer(); }) {
  socket_.use_reserve();  // window updates must get in when stalled streams hold every other block
}

ring::Task<void> TunnelConnection::run(ring::Clock::time_point handshake_deadline) {
  handshake_deadline_ = handshake_deadline;
  timer_.arm(handshake_deadline);
  flush_soon();  // a client's ClientHello
  co_await ring::both(read(), write());
  ended_ = true;
  timer_.cancel();
  log::debug("tunnel {} <-> {} ended with {} streams: {}", socket_.local_address().text(),
             socket_.peer_address().text(), attached(), failure_text_.empty() ? "closed" : failure_text_);
  socket_.close();
  handlers_.changed();
  co_await outlive_streams();
}

ring::Task<void> TunnelConnection::read() {
  for (;;) {
    ring::IoResult<ring::Chain> bytes = co_await socket_.recv();
    if (!bytes) {
      fail(peer_ ? Reason::kTunnelBroken : failure_, std::strerror(bytes.error().value));
      tunnel_.abort();
      break;
    }
    if (!open() && !co_await gate_.pass(handshake_deadline_)) break;
    const bool peer_ended = bytes->empty();
    Result<void> fed = peer_ended ? tunnel_.feed_end(loop_.now()) : feed(std::move(*bytes));
    while (fed && tunnel_.stalled() &&
           socket_.is_open()) {  // no blocks: the kernel's window holds the peer back meanwhile
      dispatch();
      co_await loop_.sleep_until(loop_.now() + limits::kDryPoolRetry);
      fed = feed({});
    }
    if (!fed) fail(reason_of(tunnel_.failure()), fed.error().message);
    dispatch();
    if (!fed || peer_ended || tunnel_.finished()) break;
    flush_soon();
  }
  reading_ended_ = true;
  timer_.arm(loop_.now() + limits::kTunnelCloseGrace);  // for what is left to send: an alert, a GOAWAY
  dispatch();
  flush_soon();
}

Result<void> TunnelConnection::feed(ring::Chain bytes) {
  Result<void> fed = tunnel_.feed(std::move(bytes), loop_.now());
  if (!peer_ && tunnel_.open()) {
    peer_ = make_ref<PeerIdentity>(tunnel_.peer().identity.text());
    arm_timer();
    handlers_.changed();
  }
  return fed;
}

// Writes once a turn what all streams have queued, so that they share records and system calls.
ring::Task<void> TunnelConnection::write() {
  for (;;) {
    co_await flush_.wait();
    ring::Chain bytes = tunnel_.produce();
    saturated_ = bytes.size() >= hbone::limits::kOutputBytes;
    dispatch();
    if (bytes.empty()) {
      if (reading_ended_) co_return;
      if (tunnel_.finished()) socket_.cancel_recv();       // nothing left to say or hear
      if (tunnel_.wants_produce() && socket_.is_open()) {  // no blocks
        co_await loop_.sleep_until(loop_.now() + limits::kDryPoolRetry);
        flush_soon();
      }
      continue;
    }
    if (!co_await socket_.send(std::move(bytes))) {
      socket_.cancel_recv();
      tunnel_.abort();
      dispatch();
      if (reading_ended_) co_return;
      continue;
    }
    flush_soon();
  }
}

void TunnelConnection::dispatch() {
  hbone::Event event;
  while (tunnel_.session().next_event(event)) {
    if (event.kind == hbone::EventKind::kConnect) {
      handlers_.connect(*event.stream);
    } else if (event.stream == nullptr) {
      handlers_.changed();
    } else if (event.stream->user != nullptr) {
      static_cast<TunnelStream*>(static_cast<SessionStream*>(event.stream->user))->on_event(event);
    }
  }
}

void TunnelConnection::on_timer() {
  if (reading_ended_) return socket_.reset();
  if (!open()) return kill(Reason::kHandshakeTimeout, "the handshake took too long");
  if (const Result<void> alive = tunnel_.session().on_time(loop_.now()); !alive)
    return kill(Reason::kTunnelBroken, alive.error().message);
  arm_timer();
  flush_soon();
}

void TunnelConnection::arm_timer() { timer_.arm(tunnel_.session().next_deadline()); }

void TunnelConnection::fail(Reason reason, std::string text) {
  if (!failure_text_.empty()) return;  // the first failure is the cause of the others
  failure_ = reason;
  failure_text_ = std::move(text);
}

void TunnelConnection::drain() {
  if (ended_) return;
  tunnel_.session().drain();
  flush_soon();
}

void TunnelConnection::kill(Reason reason, std::string text) {
  fail(reason, std::move(text));
  socket_.reset();
}

// ---- TunnelStream

TunnelStream::TunnelStream(TunnelStream&& other) noexcept : SessionStream(std::move(other)), refused_(other.refused_) {
  LEAT_CHECK(!other.asking_, "a stream was moved while a coroutine waits at it");
}

TunnelStream::Answer TunnelStream::answer(ring::Clock::time_point deadline) { return {*this, deadline}; }

void TunnelStream::accept(std::string_view baggage) {
  if (dead()) return;
  connection().session().accept(connect(), baggage);
  flush();
}

void TunnelStream::refuse(uint32_t status, Reason reason) {
  if (dead()) return;
  connection().session().refuse(connect(), status, name(reason));
  flush();
}

void TunnelStream::on_event(const hbone::Event& event) {
  switch (event.kind) {
    case hbone::EventKind::kAccepted:
      if (asking_) asking_->settle(Reason::kNone);
      break;
    case hbone::EventKind::kRefused:
      refused_ = true;
      if (asking_) asking_->settle(reason_of_status(event.code));
      break;
    case hbone::EventKind::kReset:
      if (!asking_) return SessionStream::on_event(event.kind, event.code);
      note_reset(event.code);
      asking_->settle(Reason::kTunnelBroken);
      break;
    default:
      SessionStream::on_event(event.kind, event.code);
  }
}

TunnelStream::Answer::Answer(TunnelStream& stream, ring::Clock::time_point deadline)
    : stream_(stream),
      deadline_(deadline),
      timer_(stream.carrier().loop().timers(), [this] { settle(Reason::kConnectTimeout); }) {}

void TunnelStream::Answer::settle(Reason reason) {
  stream_.asking_ = nullptr;
  timer_.cancel();
  reason_ = reason;
  waiter_.resume();
}

}  // namespace leat::proxy
