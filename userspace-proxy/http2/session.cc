#include "userspace-proxy/http2/session.h"

#include <algorithm>
#include <array>
#include <bit>

#include "common/check.h"
#include "userspace-proxy/http2/codec.h"
#include "userspace-proxy/http2/header_list.h"
#include "userspace-proxy/http2/slices.h"

namespace leat::http2 {
namespace {

// The largest frame that is not DATA, and a little room beside it.
constexpr uint32_t kBlocksAFrame = 3;

constexpr uint16_t bit(EventKind kind) { return static_cast<uint16_t>(1u << static_cast<unsigned>(kind)); }

}  // namespace

std::string_view name(Breach breach) {
  switch (breach) {
    case Breach::kNotHttp2:
      return "not_http2";
    case Breach::kProtocol:
      return "protocol";
    case Breach::kHeaderList:
      return "header_list";
    case Breach::kMalformed:
      return "malformed";
    case Breach::kNotConnect:
      return "not_connect";
    case Breach::kAuthority:
      return "authority";
    case Breach::kRapidReset:
      return "rapid_reset";
    case Breach::kSettingsFlood:
      return "settings_flood";
    case Breach::kControlFlood:
      return "control_flood";
    case Breach::kEmptyDataFlood:
      return "empty_data_flood";
    case Breach::kContinuationFlood:
      return "continuation_flood";
    case Breach::kTooManyStreams:
      return "too_many_streams";
    case Breach::kBadRequestFlood:
      return "bad_request_flood";
    case Breach::kPingTimeout:
      return "ping_timeout";
    case Breach::kCount:
      break;
  }
  return "none";
}

Session::Session(Role role, const SessionKind& kind, ring::BufferPool& pool, Counters& counters, Clock::time_point now)
    : counters_(counters),
      kind_(kind),
      pool_(pool),
      started_(now),
      now_(now),
      heard_(now),
      ping_sent_(now),
      ping_interval_(kind.pings ? limits::kPingInterval : Clock::duration{}),
      ping_timeout_(limits::kPingTimeout),
      resets_(kind.unanswered_resets),
      role_(role) {
  const bool is_server = role == Role::kServer;
  codec_ = make_codec(this, is_server);
  const nghttp2_settings_entry own =
      is_server ? nghttp2_settings_entry{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits::kMaxStreams}
                : nghttp2_settings_entry{NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  const std::array<nghttp2_settings_entry, 3> settings = {
      {own,
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits::kInitialWindowBytes},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<uint32_t>(kind.max_header_list_bytes)}}};
  nghttp2_submit_settings(codec_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(codec_, NGHTTP2_FLAG_NONE, 0, limits::kConnectionWindowBytes);
}

Session::~Session() {
  nghttp2_session_del(codec_);
  for (Stream* stream : streams_) delete stream;
}

// ---- wire

Result<void> Session::feed(ring::Chain&& plaintext, Clock::time_point now) {
  now_ = now;
  if (plaintext.empty()) return {};
  if (broken_) return fail(ErrorCode::kProtocol, "{}: bytes for a session that is over", kind_.name);
  heard_ = now;
  ping_outstanding_ = false;
  const ring::Chain taken = std::move(plaintext);
  for (const ring::Buffer& slice : taken.slices()) {
    input_ = &slice;
    const ssize_t used = nghttp2_session_mem_recv(codec_, slice.data(), slice.size());
    if (breach_ != Breach::kCount) return broken(breach_, "");
    if (used == NGHTTP2_ERR_BAD_CLIENT_MAGIC)
      return broken(Breach::kNotHttp2, "the peer does not begin with HTTP/2's preface");
    if (used == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) return broken(Breach::kContinuationFlood, "");
    if (used < 0) return broken(Breach::kProtocol, nghttp2_strerror(static_cast<int>(used)));
  }
  nghttp2_session_consume_connection(codec_, std::exchange(arrived_bytes_, 0));
  return {};
}

void Session::produce(ring::Chain& out, size_t limit) {
  output_ = &out;
  output_limit_ = limit;
  while (!output_full()) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(codec_, &bytes);
    LEAT_CHECK(size >= 0, "nghttp2 has no memory to send");
    if (size == 0) break;
    const bool appended = out.append_copy(pool_, {bytes, static_cast<size_t>(size)});
    LEAT_CHECK(appended, "a frame larger than the blocks kept for it");
  }
  output_ = nullptr;
  if (breach_ != Breach::kCount && !broken_) (void)broken(breach_, complaint_);
}

bool Session::output_full() const { return output_->size() >= output_limit_ || pool_.free_blocks() < kBlocksAFrame; }

bool Session::wants_produce() const { return nghttp2_session_want_write(codec_) != 0; }

Result<void> Session::on_time(Clock::time_point now) {
  now_ = now;
  if (broken_ || now < next_deadline()) return {};
  if (ping_outstanding_) return broken(Breach::kPingTimeout, "the peer does not answer PING");
  ping_outstanding_ = true;
  ping_sent_ = now;
  nghttp2_submit_ping(codec_, NGHTTP2_FLAG_NONE, nullptr);
  return {};
}

Clock::time_point Session::next_deadline() const {
  if (ping_interval_.count() == 0) return Clock::time_point::max();
  return ping_outstanding_ ? ping_sent_ + ping_timeout_ : heard_ + ping_interval_;
}

void Session::keep_alive(Clock::duration interval, Clock::duration timeout) {
  ping_interval_ = interval;
  ping_timeout_ = timeout;
}

void Session::abort(ResetCode code) {
  broken_ = true;
  for (size_t i = streams_.size(); i-- > 0;) {  // backwards: a released stream goes, and the last takes its place
    Stream& stream = *streams_[i];
    const bool unsent = role_ == Role::kClient && !stream.left_;
    if (!stream.closed_) closed_by_wire(stream, static_cast<uint32_t>(unsent ? ResetCode::kRefusedStream : code));
  }
}

std::unexpected<Error> Session::broken(Breach kind, std::string what) {
  ++counters_.breaches[static_cast<size_t>(kind)];
  const bool flood = kind != Breach::kProtocol && kind != Breach::kNotHttp2 && kind != Breach::kPingTimeout;
  nghttp2_session_terminate_session(codec_, flood ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
  abort(ResetCode::kConnectError);
  const ErrorCode code = kind == Breach::kPingTimeout ? ErrorCode::kTimeout : ErrorCode::kProtocol;
  return fail(code, "{}: {}{}{}", kind_.name, name(kind), what.empty() ? "" : ": ", what);
}

// ---- events

void Session::deliver(Stream& stream, EventKind kind, uint32_t code) {
  if (stream.released_ || stream.dismissed_) return;
  if (code != 0) stream.event_code_ = code;
  if (stream.events_ == 0) {
    stream.previous_ready_ = ready_tail_;
    stream.next_ready_ = nullptr;
    (ready_tail_ ? ready_tail_->next_ready_ : ready_head_) = &stream;
    ready_tail_ = &stream;
  }
  stream.events_ |= bit(kind);
}

void Session::unlink_ready(Stream& stream) {
  if (stream.events_ == 0) return;
  (stream.previous_ready_ ? stream.previous_ready_->next_ready_ : ready_head_) = stream.next_ready_;
  (stream.next_ready_ ? stream.next_ready_->previous_ready_ : ready_tail_) = stream.previous_ready_;
  stream.events_ = 0;
}

bool Session::session_event(AnyEvent& event, EventKind kind, bool& pending) {
  event = {kind, nullptr, 0};
  return std::exchange(pending, false);
}

bool Session::next_event(AnyEvent& event) {
  if (session_event(event, EventKind::kSettings, settings_pending_) ||
      session_event(event, EventKind::kGoaway, goaway_pending_))
    return true;
  if (!ready_head_) return false;
  Stream& stream = *ready_head_;
  const auto kind = static_cast<EventKind>(std::countr_zero(stream.events_));
  event = {kind, &stream, kind == EventKind::kReset ? stream.reset_code_ : stream.event_code_};
  const auto left = static_cast<uint16_t>(stream.events_ & ~bit(kind));
  if (left == 0) unlink_ready(stream);
  stream.events_ = left;
  return true;
}

// ---- streams

bool Session::can_open() const {
  return role_ == Role::kClient && !broken_ && !draining() && active_ < max_streams() &&
         nghttp2_session_check_request_allowed(codec_) != 0;
}

uint32_t Session::max_streams() const {
  return std::min(limits::kMaxStreams,
                  nghttp2_session_get_remote_settings(codec_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
}

void Session::add(Stream* stream) {
  stream->index_ = static_cast<uint32_t>(streams_.size());
  stream->window_bytes_ = limits::kInitialWindowBytes;
  stream->drained_since_ms_ = elapsed_ms();
  streams_.push_back(stream);
  ++active_;
}

void Session::forget(Stream& stream) {
  unlink_ready(stream);
  streams_[stream.index_] = streams_.back();
  streams_[stream.index_]->index_ = stream.index_;
  streams_.pop_back();
  delete &stream;
}

void Session::ask(Stream* stream, const HeaderList& headers, bool end) {
  LEAT_CHECK(can_open(), "a request on a session that can't take one");
  add(stream);
  const nghttp2_data_provider data = data_of(stream);
  stream->end_queued_ = stream->end_announced_ = end;
  stream->id_ = nghttp2_submit_request(codec_, nullptr, headers.data(), headers.size(), end ? nullptr : &data, stream);
  LEAT_CHECK(stream->id_ > 0, "nghttp2 has no memory or no id for a stream");
  ++counters_.streams_opened;
}

void Session::say(Stream& stream, const HeaderList& headers) {
  if (stream.closed_) return;
  nghttp2_submit_headers(codec_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, headers.data(), headers.size(), nullptr);
}

void Session::answer(Stream& stream, const HeaderList& headers, bool end) {
  if (stream.closed_) return;
  LEAT_CHECK(!answered(stream), "a stream is answered once");
  const nghttp2_data_provider data = data_of(&stream);
  nghttp2_submit_response(codec_, stream.id_, headers.data(), headers.size(), end ? nullptr : &data);
  stream.held_ = false;
  stream.answered_ = true;
  stream.end_queued_ = stream.end_announced_ = end;
}

void Session::hold(Stream& stream, ring::Chain early) {
  stream.held_ = true;
  stream.early_bytes_ = static_cast<uint32_t>(early.size());
  stream.outgoing_ = std::move(early);
}

void Session::let_go(Stream& stream) {
  stream.held_ = false;
  resume(stream);
}

void Session::dismiss(Stream& stream) {
  unlink_ready(stream);
  mute(stream);
  stream.received_.clear();
}

bool Session::count_bad_request(Breach breach) {
  ++counters_.breaches[static_cast<size_t>(breach)];
  if (bad_requests_.take(now_)) return true;
  breach_ = Breach::kBadRequestFlood;
  return false;
}

void Session::send(Stream& stream, ring::Chain& bytes) {
  if (stream.closed_ || stream.dismissed_) return;
  LEAT_CHECK(!stream.end_queued_, "send() after end()");
  size_t room = limits::kSendQueueBytes - std::min(limits::kSendQueueBytes, stream.outgoing_.size());
  while (room > 0 && !bytes.empty()) {
    const ring::Buffer& front = bytes.slices().front();
    const auto part = static_cast<uint32_t>(std::min<size_t>(room, front.size()));
    pass(front, 0, part, stream.outgoing_, pool_);
    bytes.consume(part);
    room -= part;
  }
  if (!bytes.empty()) stream.sender_waits_ = true;
  resume(stream);
}

void Session::end(Stream& stream) {
  if (stream.closed_ || stream.dismissed_) return;
  stream.end_queued_ = true;
  resume(stream);
}

void Session::resume(Stream& stream) {
  if (!stream.deferred_ || stream.held_ || (stream.outgoing_.empty() && !stream.end_queued_)) return;
  // Trailers after DATA that has left: not by the way of an empty frame.
  if (stream.outgoing_.empty() && stream.trailed_) return submit_trailers(stream);
  stream.deferred_ = false;
  nghttp2_session_resume_data(codec_, stream.id_);
}

void Session::submit_trailers(Stream& stream) {
  if (stream.end_announced_) return;
  stream.end_announced_ = true;
  HeaderList list;
  add_trailers(stream, list);
  nghttp2_submit_trailer(codec_, stream.id_, list.data(), list.size());
}

void Session::reset(Stream& stream, ResetCode code) {
  if (stream.closed_ || (stream.dismissed_ && role_ == Role::kServer)) return;  // our refusal brings its own RST_STREAM
  // What is queued stays until the codec closes the stream: it may have begun a DATA frame.
  nghttp2_submit_rst_stream(codec_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<uint32_t>(code));
}

void Session::consumed(Stream& stream, size_t bytes) {
  if (stream.closed_ || bytes == 0) return;
  stream.drained_bytes_ += static_cast<uint32_t>(bytes);
  nghttp2_session_consume_stream(codec_, stream.id_, bytes);
  if (!stream.peer_ended_ && stream.drained_bytes_ >= stream.window_bytes_) grow_window(stream);
}

// A window's worth was drained. If that took little time, the window may be what limits the sender.
void Session::grow_window(Stream& stream) {
  const uint32_t now_ms = elapsed_ms();
  const bool fast = now_ms - stream.drained_since_ms_ <= limits::kFastDrainMs;
  stream.drained_bytes_ = 0;
  stream.drained_since_ms_ = now_ms;
  const uint32_t growth = stream.window_bytes_;
  if (!fast || stream.window_bytes_ >= limits::kMaxWindowBytes || growth > window_budget_) return;
  window_budget_ -= growth;
  stream.window_bytes_ += growth;
  nghttp2_session_set_local_window_size(codec_, NGHTTP2_FLAG_NONE, stream.id_,
                                        static_cast<int32_t>(stream.window_bytes_));
}

uint32_t Session::elapsed_ms() const {
  return static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now_ - started_).count());
}

void Session::release(Stream& stream) {
  LEAT_CHECK(!stream.released_, "a stream is released once");
  unlink_ready(stream);
  stream.released_ = true;
  stream.user = nullptr;
  stream.received_.clear();
  if (stream.closed_) return forget(stream);
  const bool peer_may_go_on = kind_.answer_is_last && role_ == Role::kServer;  // it is told when our end is out
  const bool only_queue_left = stream.end_queued_ && (stream.peer_ended_ || peer_may_go_on);
  if (!only_queue_left) reset(stream, ResetCode::kCancel);
}

void Session::closed_by_wire(Stream& stream, uint32_t code) {
  stream.closed_ = true;
  stream.reset_code_ = code;
  stream.outgoing_.clear();
  window_budget_ += stream.window_bytes_ - limits::kInitialWindowBytes;
  --active_;
  // Nobody has heard of it yet, so nobody needs to hear of its end.
  const bool unannounced = stream.events_ & (bit(EventKind::kConnect) | bit(EventKind::kRequest));
  if (stream.released_ || unannounced) return forget(stream);
  const bool clean = code == NGHTTP2_NO_ERROR && stream.peer_ended_ && stream.end_queued_;
  deliver(stream, clean ? EventKind::kClosed : EventKind::kReset);
}

// ---- end

void Session::drain() {
  if (drain_ != Drain::kNo || broken_) return;
  if (role_ == Role::kClient) {
    drain_ = Drain::kFinal;
    nghttp2_submit_goaway(codec_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
    return;
  }
  drain_ = Drain::kAnnounced;
  nghttp2_submit_shutdown_notice(codec_);
  nghttp2_submit_ping(codec_, NGHTTP2_FLAG_NONE, kDrainPing);
}

bool Session::finished() const {
  if (broken_) return true;
  if (nghttp2_session_want_write(codec_) != 0) return false;
  const bool no_more_streams = drain_ == Drain::kFinal || peer_goaway_;
  return nghttp2_session_want_read(codec_) == 0 || (no_more_streams && active_ == 0);
}

}  // namespace leat::http2
