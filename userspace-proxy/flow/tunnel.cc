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
    : loop_(loop),
      gate_(gate),
      socket_(std::move(socket)),
      tunnel_(std::move(tunnel)),
      handlers_(std::move(handlers)),
      timer_(loop.timers(), [this] { on_timer(); }),
      idle_since_(loop.now()) {
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
             socket_.peer_address().text(), attached_, failure_text_.empty() ? "closed" : failure_text_);
  socket_.close();
  handlers_.changed();
  while (attached_ > 0) co_await detached_.wait();
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

void TunnelConnection::turn_end() {
  while (!cancelled_.empty()) {
    TunnelStream* stream = cancelled_.back();
    cancelled_.pop_back();
    stream->wake_all();
  }
  flush_.set();
}

void TunnelConnection::dispatch() {
  hbone::Event event;
  while (tunnel_.session().next_event(event)) {
    if (event.kind == hbone::EventKind::kConnect) {
      handlers_.connect(*event.stream);
    } else if (event.stream == nullptr) {
      handlers_.changed();
    } else if (event.stream->user != nullptr) {
      static_cast<TunnelStream*>(event.stream->user)->on_event(event);
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

void TunnelConnection::detach(TunnelStream& stream) {
  std::erase(cancelled_, &stream);
  idle_since_ = loop_.now();
  flush_soon();
  const bool last = --attached_ == 0;
  if (!ended_) {
    handlers_.changed();
  } else if (last) {
    detached_.set();
  }
}

// ---- TunnelStream

TunnelStream::TunnelStream(TunnelConnection& connection, hbone::Stream& stream)
    : connection_(&connection), stream_(&stream) {
  stream_->user = this;
  ++connection_->attached_;
}

TunnelStream::TunnelStream(TunnelStream&& other) noexcept
    : connection_(other.connection_),
      stream_(std::exchange(other.stream_, nullptr)),
      unreported_bytes_(other.unreported_bytes_),
      reset_by_peer_(other.reset_by_peer_),
      unprocessed_(other.unprocessed_),
      cancelled_(other.cancelled_) {
  LEAT_CHECK(!other.reader_ && !other.sending_ && !other.asking_, "a stream was moved while a coroutine waits at it");
  if (stream_) stream_->user = this;
}

TunnelStream::~TunnelStream() {
  if (!stream_) return;
  stream_->user = nullptr;
  connection_->session().release(*stream_);
  connection_->detach(*this);
}

TunnelStream::Receive TunnelStream::recv() {
  if (const uint32_t drained = std::exchange(unreported_bytes_, 0); drained > 0 && !dead()) {
    connection_->session().consumed(*stream_, drained);
    connection_->flush_soon();
  }
  return Receive(*this);
}

TunnelStream::Send TunnelStream::send(ring::Chain&& bytes) { return {*this, std::move(bytes)}; }

TunnelStream::Hangup TunnelStream::hangup() { return Hangup(*this); }

void TunnelStream::finish() {
  if (dead()) return;
  connection_->session().end(*stream_);
  connection_->flush_soon();
}

void TunnelStream::reset() {
  if (dead()) return;
  cancelled_ = true;
  connection_->session().reset(*stream_, hbone::ResetCode::kConnectError);
  connection_->cancelled_.push_back(this);
  connection_->flush_soon();
}

TunnelStream::Answer TunnelStream::answer(ring::Clock::time_point deadline) { return {*this, deadline}; }

void TunnelStream::accept(std::string_view baggage) {
  if (dead()) return;
  connection_->session().accept(*stream_, baggage);
  connection_->flush_soon();
}

void TunnelStream::refuse(uint32_t status, Reason reason) {
  if (dead()) return;
  connection_->session().refuse(*stream_, status, name(reason));
  connection_->flush_soon();
}

void TunnelStream::on_event(const hbone::Event& event) {
  switch (event.kind) {
    case hbone::EventKind::kAccepted:
      if (asking_) asking_->settle(Reason::kNone);
      break;
    case hbone::EventKind::kRefused:
      unprocessed_ = true;
      if (asking_) asking_->settle(reason_of_status(event.code));
      break;
    case hbone::EventKind::kReset:
      reset_by_peer_ = true;
      unprocessed_ = event.code == static_cast<uint32_t>(hbone::ResetCode::kRefusedStream);
      if (asking_) return asking_->settle(Reason::kTunnelBroken);
      wake_all();
      break;
    case hbone::EventKind::kReadable:
    case hbone::EventKind::kEnded:
      if (readable()) wake_reader();  // else the event is of bytes that were taken before it was told
      break;
    case hbone::EventKind::kClosed:
      wake_hangup();
      break;
    case hbone::EventKind::kWritable:
      if (sending_ && sending_->push()) wake_writer();
      break;
    default:
      break;
  }
}

void TunnelStream::wake_reader() {
  if (auto waiter = std::exchange(reader_, {})) waiter.resume();
}

void TunnelStream::wake_writer() {
  if (Send* sending = std::exchange(sending_, nullptr)) sending->waiter_.resume();
}

void TunnelStream::wake_hangup() {
  if (auto waiter = std::exchange(hangup_, {})) waiter.resume();
}

// The stream may be gone once the first of them has been resumed.
void TunnelStream::wake_all() {
  const auto reading = std::exchange(reader_, {});
  const auto waiting = std::exchange(hangup_, {});  // at most one of the two
  wake_writer();
  if (reading) reading.resume();
  if (waiting) waiting.resume();
}

bool TunnelStream::readable() const { return !stream_->received().empty() || stream_->peer_ended() || dead(); }

bool TunnelStream::Receive::await_ready() const { return stream_.readable(); }

ring::IoResult<ring::Chain> TunnelStream::Receive::await_resume() {
  if (stream_.cancelled_) return std::unexpected(ring::Errno{ECANCELED});
  ring::Chain bytes = std::move(stream_.stream_->received());
  if (bytes.empty() && stream_.reset_by_peer_) return std::unexpected(ring::Errno{ECONNRESET});
  stream_.unreported_bytes_ = static_cast<uint32_t>(bytes.size());
  return bytes;
}

bool TunnelStream::Send::push() {
  if (stream_.dead()) return true;
  stream_.connection_->session().send(*stream_.stream_, left_);
  stream_.connection_->flush_soon();
  return left_.empty();
}

ring::IoResult<void> TunnelStream::outcome() const {
  if (cancelled_) return std::unexpected(ring::Errno{ECANCELED});
  if (reset_by_peer_) return std::unexpected(ring::Errno{ECONNRESET});
  return {};
}

TunnelStream::Answer::Answer(TunnelStream& stream, ring::Clock::time_point deadline)
    : stream_(stream),
      deadline_(deadline),
      timer_(stream.connection_->loop_.timers(), [this] { settle(Reason::kConnectTimeout); }) {}

void TunnelStream::Answer::settle(Reason reason) {
  stream_.asking_ = nullptr;
  timer_.cancel();
  reason_ = reason;
  waiter_.resume();
}

}  // namespace leat::proxy
