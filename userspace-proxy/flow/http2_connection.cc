#include "userspace-proxy/flow/http2_connection.h"

#include "common/check.h"

namespace leat::proxy {

// ---- Http2Connection

void Http2Connection::dispatch() {
  http2::MessageSession::Event event;
  while (session_.next_event(event)) {
    if (event.kind == http2::EventKind::kRequest) {
      handlers_.request(*event.stream);
    } else if (event.stream == nullptr) {
      handlers_.changed();
    } else if (event.stream->user != nullptr) {
      static_cast<HttpStream*>(static_cast<SessionStream*>(event.stream->user))->on_event(event);
    }
  }
}

void Http2Connection::look_at(const ring::Chain& first) {
  // A server's HTTP/2 begins with the length of its SETTINGS, three bytes that are far from a letter.
  peer_speaks_http1_ = first.slices().front().bytes().front() == 'H';
}

void Http2Connection::keep_alive(ring::Clock::duration interval, ring::Clock::duration timeout) {
  session_.keep_alive(interval, timeout);
  alive_.emplace(loop_.timers(), [this] { on_time(); });
}

// What breaks here is noticed by write(), which says GOAWAY and ends the connection.
void Http2Connection::on_time() {
  (void)session_.on_time(loop_.now());
  dispatch();
  flush_soon();
  if (!session_.finished()) alive_->arm(session_.next_deadline());
}

void Http2Connection::drain() {
  if (ended_ || session_.draining()) return;
  session_.drain();
  flush_soon();
}

// ---- HttpStream

HttpStream::HttpStream(Http2Connection& connection, http2::MessageStream& stream) : SessionStream(connection, &stream) {
  carries_message_ = true;
  head_waits_ = true;
}

HttpStream::HttpStream(Http2Connection& connection) : SessionStream(connection, nullptr), unasked_(true) {
  carries_message_ = true;
  ++connection.unasked_;
}

HttpStream::HttpStream(HttpStream&& other) noexcept
    : SessionStream(std::move(other)),
      body_bytes_(other.body_bytes_),
      reset_code_(other.reset_code_),
      unasked_(std::exchange(other.unasked_, false)),
      started_(other.started_),
      finished_(other.finished_) {}

HttpStream::~HttpStream() {
  if (unasked_) --connection().unasked_;
}

void HttpStream::on_event(const http2::MessageSession::Event& event) {
  if (event.kind == http2::EventKind::kResponse) {
    head_waits_ = true;
    return wake_reader();
  }
  if (event.kind == http2::EventKind::kReset) reset_code_ = event.code;
  SessionStream::on_event(event.kind, event.code);
}

http1::Step HttpStream::read(ring::Chain& input, ring::Chain& body) {
  if (end_told_) return http1::Step::kEnd;
  if (fault() != http1::Fault::kNone) return http1::Step::kFault;
  if (head_waits_) {
    head_waits_ = false;
    started_ = true;
    return http1::Step::kHead;
  }
  body_bytes_ += input.size();
  body.append(std::move(input));
  if (!message().peer_ended() || !message().received().empty()) return http1::Step::kNeedMore;
  end_told_ = true;
  return http1::Step::kEnd;
}

void HttpStream::ask(const http1::RequestHead& head, const http1::RequestEdits& edits, bool ended) {
  LEAT_CHECK(unasked_, "a stream carries one request");
  unasked_ = false;
  --connection().unasked_;
  if (dead()) return;
  if (connection().ended() || !connection().session().can_open()) {
    return note_reset(static_cast<uint32_t>(http2::ResetCode::kRefusedStream));
  }
  attach_to(connection().session().open(head, edits, ended));
  finished_ = ended;
  flush();
}

void HttpStream::respond(const http1::ResponseHead& head, const http1::Edits& edits, bool ended) {
  if (dead()) return;
  connection().session().respond(message(), head, edits, ended);
  finished_ |= ended && !head.interim();
  flush();
}

void HttpStream::respond(uint16_t status, std::span<const http1::FieldLine> fields, bool ended) {
  if (dead()) return;
  connection().session().respond(message(), status, fields, ended);
  finished_ = ended;
  flush();
}

void HttpStream::finish(const http1::Fields& trailers) {
  if (dead() || finished_) return;
  finished_ = true;
  connection().session().end(message(), trailers);
  flush();
}

void HttpStream::reset(http2::ResetCode code) { SessionStream::reset(code); }

}  // namespace leat::proxy
