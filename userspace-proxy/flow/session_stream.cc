#include "userspace-proxy/flow/session_stream.h"

#include <algorithm>
#include <cerrno>

#include "common/check.h"

namespace leat::proxy {

// ---- SessionConnection

void SessionConnection::turn_end() {
  while (!cancelled_.empty()) {
    SessionStream* stream = cancelled_.back();
    cancelled_.pop_back();
    stream->wake_all();
  }
  // Either may be the end of this object. That is why it is told here, and not by the stream that leaves last: those
  // above are through with it.
  if (!over_) return flush_.set();
  if (attached_ == 0) detached_.set();
}

void SessionConnection::detach(SessionStream& stream) {
  std::erase(cancelled_, &stream);
  idle_since_ = loop_.now();
  flush_soon();
  --attached_;
  if (!over_) left();
}

ring::Task<void> SessionConnection::outlive_streams() {
  over_ = true;
  while (attached_ > 0) co_await detached_.wait();
}

// ---- SessionStream

SessionStream::SessionStream(SessionConnection& connection, http2::Stream* stream)
    : connection_(&connection), stream_(nullptr) {
  ++connection_->attached_;
  if (stream) attach_to(*stream);
}

SessionStream::SessionStream(SessionStream&& other) noexcept
    : carries_message_(other.carries_message_),
      head_waits_(other.head_waits_),
      end_told_(other.end_told_),
      connection_(std::exchange(other.connection_, nullptr)),
      stream_(std::exchange(other.stream_, nullptr)),
      unreported_bytes_(other.unreported_bytes_),
      reset_by_peer_(other.reset_by_peer_),
      unprocessed_(other.unprocessed_),
      cancelled_(other.cancelled_) {
  LEAT_CHECK(!other.reader_ && !other.sending_, "a stream was moved while a coroutine waits at it");
  if (stream_) stream_->user = this;
  if (!connection_) return;
  const auto listed = std::ranges::find(connection_->cancelled_, &other);
  if (listed != connection_->cancelled_.end()) *listed = this;
}

SessionStream::~SessionStream() {
  if (!connection_) return;
  if (stream_) {
    stream_->user = nullptr;
    connection_->layer().release(*stream_);
  }
  connection_->detach(*this);
}

void SessionStream::attach_to(http2::Stream& stream) {
  stream_ = &stream;
  stream_->user = this;
}

SessionStream::Receive SessionStream::recv() {
  if (const uint32_t drained = std::exchange(unreported_bytes_, 0); drained > 0 && !dead()) {
    connection_->layer().consumed(*stream_, drained);
    flush();
  }
  return Receive(*this);
}

SessionStream::Send SessionStream::send(ring::Chain&& bytes) { return {*this, std::move(bytes)}; }

SessionStream::Hangup SessionStream::hangup() { return Hangup(*this); }

void SessionStream::finish() {
  if (dead()) return;
  connection_->layer().end(*stream_);
  flush();
}

void SessionStream::reset(http2::ResetCode code) {
  if (dead()) return;
  if (stream_) connection_->layer().reset(*stream_, code);
  leave();
}

void SessionStream::leave() {
  if (dead()) return;
  cancelled_ = true;
  connection_->cancelled_.push_back(this);
  flush();
}

void SessionStream::note_reset(uint32_t code) {
  reset_by_peer_ = true;
  unprocessed_ = code == static_cast<uint32_t>(http2::ResetCode::kRefusedStream);
}

void SessionStream::on_event(http2::EventKind kind, uint32_t code) {
  switch (kind) {
    case http2::EventKind::kReset:
      note_reset(code);
      wake_all();
      break;
    case http2::EventKind::kReadable:
    case http2::EventKind::kEnded:
      if (readable()) wake_reader();  // else the event is of bytes that were taken before it was told
      break;
    case http2::EventKind::kClosed:
      wake_hangup();
      break;
    case http2::EventKind::kWritable:
      if (sending_ && sending_->push()) wake_writer();
      break;
    default:
      break;
  }
}

void SessionStream::wake_reader() {
  if (auto waiter = std::exchange(reader_, {})) waiter.resume();
}

void SessionStream::wake_writer() {
  if (Send* sending = std::exchange(sending_, nullptr)) sending->waiter_.resume();
}

void SessionStream::wake_hangup() {
  if (auto waiter = std::exchange(hangup_, {})) waiter.resume();
}

// The stream may be gone once the first of them has been resumed.
void SessionStream::wake_all() {
  const auto reading = std::exchange(reader_, {});
  const auto waiting = std::exchange(hangup_, {});  // at most one of the two
  wake_writer();
  if (reading) reading.resume();
  if (waiting) waiting.resume();
}

bool SessionStream::has_news() const { return head_waits_ || (stream_->peer_ended() && !end_told_); }

bool SessionStream::readable() const { return dead() || (stream_ && (!stream_->received().empty() || has_news())); }

ring::IoResult<ring::Chain> SessionStream::Receive::await_resume() {
  if (stream_.cancelled_) return std::unexpected(ring::Errno{ECANCELED});
  if (!stream_.stream_) return std::unexpected(ring::Errno{ECONNRESET});
  ring::Chain bytes = std::move(stream_.stream_->received());
  const bool whole = stream_.carries_message_ && stream_.has_news();
  if (bytes.empty() && stream_.reset_by_peer_ && !whole) return std::unexpected(ring::Errno{ECONNRESET});
  stream_.unreported_bytes_ = static_cast<uint32_t>(bytes.size());
  return bytes;
}

bool SessionStream::Send::push() {
  if (stream_.dead() || left_.empty()) return true;
  stream_.connection_->layer().send(*stream_.stream_, left_);
  stream_.flush();
  return left_.empty();
}

ring::IoResult<void> SessionStream::outcome() const {
  if (cancelled_) return std::unexpected(ring::Errno{ECANCELED});
  if (reset_by_peer_) return std::unexpected(ring::Errno{ECONNRESET});
  return {};
}

}  // namespace leat::proxy
