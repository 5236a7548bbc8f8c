#include "userspace-proxy/http2/codec.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/http2/header_list.h"
#include "userspace-proxy/http2/session.h"
#include "userspace-proxy/http2/slices.h"

namespace leat::http2 {

// nghttp2's callbacks. A callback only records: what a finding leads to is decided by Session after the codec has
// returned.
struct CodecCallbacks {
  static Session& session_of(void* user) { return *static_cast<Session*>(user); }
  // Null: the codec knows no such stream, or the session is broken; then the codec's streams outlive ours.
  static Stream* stream_of(Session& session, int32_t id) {
    return session.broken_ ? nullptr : static_cast<Stream*>(nghttp2_session_get_stream_user_data(session.codec_, id));
  }
  static bool starts_request(const nghttp2_frame* frame) {
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
  }
  static int stop(Session& session, Breach breach) {
    session.breach_ = breach;
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  // ---- receiving

  // Here floods are counted. Frames of unknown types do not come by: the codec skips them without an answer, at no more
  // than their bytes' cost.
  static int begin_frame(nghttp2_session*, const nghttp2_frame_hd* header, void* user) {
    Session& session = session_of(user);
    const bool ack = header->flags & NGHTTP2_FLAG_ACK;
    const bool end = header->flags & NGHTTP2_FLAG_END_STREAM;
    switch (header->type) {
      case NGHTTP2_HEADERS:
        return opens_too_many(session, header->stream_id) ? stop(session, Breach::kTooManyStreams) : 0;
      case NGHTTP2_SETTINGS:
        return ack || session.settings_.take(session.now_) ? 0 : stop(session, Breach::kSettingsFlood);
      case NGHTTP2_PING:
      case NGHTTP2_PRIORITY:
        return ack || session.control_.take(session.now_) ? 0 : stop(session, Breach::kControlFlood);
      case NGHTTP2_DATA:
        // gRPC measures a path by a PING for what it receives.
        if (header->length > 0) session.control_.give();
        return header->length > 0 || end || session.empty_data_.take(session.now_)
                   ? 0
                   : stop(session, Breach::kEmptyDataFlood);
      default:
        return 0;
    }
  }

  // A client that has seen our SETTINGS knows better; until then the codec refuses by itself.
  static bool opens_too_many(const Session& session, int32_t id) {
    return session.role_ == Session::Role::kServer && session.settings_seen_ &&
           session.active_ >= limits::kMaxStreams && id > nghttp2_session_get_last_proc_stream_id(session.codec_);
  }

  static int begin_headers(nghttp2_session* codec, const nghttp2_frame* frame, void* user) {
    Session& session = session_of(user);
    session.header_list_bytes_ = 0;
    if (starts_request(frame)) {
      Stream* stream = session.make_stream();
      session.add(stream);
      stream->id_ = frame->hd.stream_id;
      nghttp2_session_set_stream_user_data(codec, stream->id_, stream);
    }
    if (Stream* stream = stream_of(session, frame->hd.stream_id)) session.block_begins(*stream);
    return 0;
  }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name_bytes, size_t name_size,
                    const uint8_t* value_bytes, size_t value_size, uint8_t, void* user) {
    Session& session = session_of(user);
    // As RFC 9113, section 10.5.1 counts. A list far beyond what we offered is a decompression bomb: one byte may stand
    // for 4 KiB.
    session.header_list_bytes_ += name_size + value_size + 32;
    if (session.header_list_bytes_ > session.kind_.header_bomb_bytes) return stop(session, Breach::kHeaderList);
    Stream* stream = stream_of(session, frame->hd.stream_id);
    if (!stream || stream->dismissed_ || too_large(session)) return 0;
    session.header(*stream, {reinterpret_cast<const char*>(name_bytes), name_size},
                   {reinterpret_cast<const char*>(value_bytes), value_size});
    return 0;
  }
  static bool too_large(const Session& session) {
    return session.header_list_bytes_ > session.kind_.max_header_list_bytes;
  }

  static int data_chunk(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
    Session& session = session_of(user);
    session.arrived_bytes_ += size;
    Stream* stream = stream_of(session, id);
    if (!stream || stream->released_ || stream->dismissed_) return 0;
    const auto offset = static_cast<uint32_t>(data - session.input_->data());
    pass(*session.input_, offset, static_cast<uint32_t>(size), stream->received_, session.pool_);
    session.deliver(*stream, EventKind::kReadable);
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Session& session = session_of(user);
    Stream* stream = frame->hd.stream_id ? stream_of(session, frame->hd.stream_id) : nullptr;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        if (!stream) break;
        session.control_.give();
        block_complete(session, *stream, frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
        if (session.breach_ != Breach::kCount) return NGHTTP2_ERR_CALLBACK_FAILURE;
        [[fallthrough]];
      case NGHTTP2_DATA:
        if (stream && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
          stream->peer_ended_ = true;
          session.deliver(*stream, EventKind::kEnded);
        }
        break;
      case NGHTTP2_RST_STREAM:
        ++session.counters_.resets_received;
        if (stream && session.role_ == Session::Role::kServer && !stream->answered_ &&
            !session.resets_.take(session.now_)) {
          return stop(session, Breach::kRapidReset);
        }
        break;
      case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) {
          session.settings_seen_ = true;
        } else {
          session.peer_confirmed_ = session.settings_pending_ = true;
        }
        break;
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) &&
            std::memcmp(frame->ping.opaque_data, kDrainPing, sizeof kDrainPing) == 0)
          drain_finally(session);
        break;
      case NGHTTP2_GOAWAY:
        session.peer_goaway_ = session.goaway_pending_ = true;
        break;
      default:
        break;
    }
    return 0;
  }

  static void block_complete(Session& session, Stream& stream, bool end) {
    if (stream.dismissed_) return;
    if (stream.head_whole_) return session.trailers_are_whole(stream, too_large(session));
    stream.head_whole_ = session.head_is_whole(stream, too_large(session), end);
  }

  // Malformed (RFC 9113, section 8.1.1): the codec resets the stream by itself, if we say that it is no good.
  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                            uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }
  static int invalid_frame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    Session& session = session_of(user);
    return session.count_bad_request(Breach::kMalformed) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static void drain_finally(Session& session) {
    if (session.drain_ != Session::Drain::kAnnounced) return;
    session.drain_ = Session::Drain::kFinal;
    nghttp2_submit_goaway(session.codec_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session.codec_),
                          NGHTTP2_NO_ERROR, nullptr, 0);
  }

  static int stream_closed(nghttp2_session*, int32_t id, uint32_t code, void* user) {
    Session& session = session_of(user);
    if (Stream* stream = stream_of(session, id)) session.closed_by_wire(*stream, code);
    return 0;
  }

  static int complained(nghttp2_session*, int, const char* message, size_t size, void* user) {
    session_of(user).complaint_.assign(message, std::min<size_t>(size, 256));
    return 0;
  }

  // ---- sending

  static ssize_t read_queue(nghttp2_session*, int32_t, uint8_t*, size_t size, uint32_t* flags,
                            nghttp2_data_source* source, void* user) {
    if (session_of(user).broken_) return NGHTTP2_ERR_DEFERRED;  // the stream may be gone
    Stream& stream = *static_cast<Stream*>(source->ptr);
    // What is held may still go elsewhere, but for early bytes.
    const size_t ready = stream.held_ ? stream.early_bytes_ : stream.outgoing_.size();
    const bool at_end = !stream.held_ && stream.end_queued_;
    if (ready == 0 && !at_end) {
      stream.deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const size_t taken = std::min(size, ready);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (at_end && taken == stream.outgoing_.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (stream.trailed_) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        session_of(user).submit_trailers(stream);
      }
    }
    return static_cast<ssize_t>(taken);
  }

  // One call of the codec may send any number of DATA frames, so it is here that the limits of produce() hold.
  static int send_data(nghttp2_session*, nghttp2_frame*, const uint8_t* frame_header, size_t size,
                       nghttp2_data_source* source, void* user) {
    constexpr size_t kFrameHeaderBytes = 9;
    Session& session = session_of(user);
    if (session.broken_) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;  // drops the frame; the stream may be gone
    if (session.output_full()) return NGHTTP2_ERR_WOULDBLOCK;
    session.control_.give();
    const bool appended = session.output_->append_copy(session.pool_, {frame_header, kFrameHeaderBytes});
    LEAT_CHECK(appended, "a frame header larger than the blocks kept for it");
    Stream& stream = *static_cast<Stream*>(source->ptr);
    stream.early_bytes_ -= static_cast<uint32_t>(std::min<size_t>(size, stream.early_bytes_));
    while (size > 0) {
      const ring::Buffer& front = stream.outgoing_.slices().front();
      const auto part = static_cast<uint32_t>(std::min<size_t>(size, front.size()));
      session.output_->append(front.share(0, part));
      stream.outgoing_.consume(part);
      size -= part;
    }
    if (stream.sender_waits_ && stream.outgoing_.size() <= limits::kSendQueueBytes / 2) {
      stream.sender_waits_ = false;
      session.deliver(stream, EventKind::kWritable);
    }
    return 0;
  }

  static int frame_sent(nghttp2_session* codec, const nghttp2_frame* frame, void* user) {
    Session& session = session_of(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) ++session.counters_.resets_sent;
    if (starts_request(frame)) {
      if (Stream* stream = stream_of(session, frame->hd.stream_id)) stream->left_ = true;
    }
    // The codec has found a violation by itself, and ends the session.
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR && !session.broken_)
      session.breach_ = Breach::kProtocol;
    // An answer that is whole before its request ends our side; this ends the peer's, without an error. Not earlier: a
    // stream that is being reset sends no headers.
    const bool last = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                      (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && session.role_ == Session::Role::kServer;
    if (last && (frame->hd.type == NGHTTP2_HEADERS || session.kind_.answer_is_last)) {
      const Stream* stream = stream_of(session, frame->hd.stream_id);
      if (stream && !stream->peer_ended_)
        nghttp2_submit_rst_stream(codec, NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  // A request that could not leave any more (the peer said GOAWAY meanwhile): nothing was processed.
  static int frame_not_sent(nghttp2_session* codec, const nghttp2_frame* frame, int, void* user) {
    if (!starts_request(frame)) return 0;
    nghttp2_session_set_stream_user_data(codec, frame->hd.stream_id,
                                         nullptr);  // or its close would be told a second time
    Session& session = session_of(user);
    const auto found = std::ranges::find(session.streams_, frame->hd.stream_id, &Stream::id_);
    if (found != session.streams_.end() && !(*found)->closed_) session.closed_by_wire(**found, NGHTTP2_REFUSED_STREAM);
    return 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* table = nullptr;
    LEAT_CHECK(nghttp2_session_callbacks_new(&table) == 0, "no memory for nghttp2's callbacks");
    nghttp2_session_callbacks_set_on_begin_frame_callback(table, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(table, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(table, invalid_header);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table, invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, frame_received);
    nghttp2_session_callbacks_set_on_stream_close_callback(table, stream_closed);
    nghttp2_session_callbacks_set_error_callback2(table, complained);
    nghttp2_session_callbacks_set_send_data_callback(table, send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(table, frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(table, frame_not_sent);
    return table;
  }
};

namespace {

nghttp2_option* make_options() {
  nghttp2_option* options = nullptr;
  LEAT_CHECK(nghttp2_option_new(&options) == 0, "no memory for nghttp2's options");
  nghttp2_option_set_no_auto_window_update(options, 1);  // windows follow what was drained
  nghttp2_option_set_no_closed_streams(options, 1);      // we use no priorities: a closed stream's memory goes at once
  nghttp2_option_set_peer_max_concurrent_streams(options, limits::kMaxStreams);
  // nghttp2 would end the session at 33 resets a second, also of streams that were served: applications reset
  // connections. Session counts those that were not served.
  nghttp2_option_set_stream_reset_rate_limit(options, UINT32_MAX, UINT32_MAX);
  return options;
}

}  // namespace

nghttp2_session* make_codec(Session* session, bool is_server) {
  static nghttp2_session_callbacks* const callbacks =
      CodecCallbacks::make();  // constant tables that nghttp2 wants on its heap
  static nghttp2_option* const options = make_options();
  nghttp2_session* codec = nullptr;
  const int result = is_server ? nghttp2_session_server_new2(&codec, callbacks, session, options)
                               : nghttp2_session_client_new2(&codec, callbacks, session, options);
  LEAT_CHECK(result == 0, "no memory for an HTTP/2 session");
  return codec;
}

nghttp2_data_provider data_of(Stream* stream) { return {{.ptr = stream}, CodecCallbacks::read_queue}; }

}  // namespace leat::http2
