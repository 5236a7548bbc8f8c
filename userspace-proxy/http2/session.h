// userspace-proxy/http2: HTTP/2 (RFC 9113) on nghttp2, without a socket: bytes in, events and bytes out. One thread
// owns a session and everything in it. Nothing here knows of routes or policy.
//
//   session.h          one end of a connection: frames, windows, floods, queues, its end. What its streams carry is the
//                      layer's above: HTTP messages (message_session.h), tunnels (hbone/session.h)
//   head_builder.h     a header block -> the head that everything above reads, whatever version it came in
//   header_list.h      such a head -> a header block
//
// How a session is used: feed() what arrived, take next_event() until there is none, act (open, answer, send, consumed
// …), then produce() what is to be sent. Nothing is called back.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "userspace-proxy/http2/counters.h"
#include "userspace-proxy/http2/limits.h"
#include "userspace-proxy/http2/stream.h"
#include "userspace-proxy/http2/token_bucket.h"
#include "userspace-proxy/ring/buffer.h"

struct nghttp2_session;

namespace leat::http2 {

using Clock = std::chrono::steady_clock;
class HeaderList;

struct SessionKind {
  std::string_view name;  // for messages
  size_t max_header_list_bytes;
  size_t header_bomb_bytes;
  limits::Rate unanswered_resets;
  bool pings;           // asks a quiet peer whether it lives, unless its owner says otherwise
  bool answer_is_last;  // a server's end ends the stream: whatever the client still has to say is not wanted
};

class Session {
 public:
  enum class Role : uint8_t { kClient, kServer };

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session();  // every stream goes with it

  // ---- wire
  // Takes all of `plaintext`. An error means that the session is broken: produce() what is left (a GOAWAY), then close;
  // its streams have a kReset event each.
  Result<void> feed(ring::Chain&& plaintext, Clock::time_point now);
  // Appends frames to `out` until it holds about `limit` bytes, nothing is left, or the pool is nearly dry. Frames of
  // several streams follow one another without gaps, so that a TLS record carries many.
  void produce(ring::Chain& out, size_t limit);
  [[nodiscard]] bool wants_produce() const;
  // Keeps the session alive, where its kind or its owner wants that: sends PING when nothing was heard, and breaks it
  // (as feed() does) when nothing answers. Call at next_deadline().
  Result<void> on_time(Clock::time_point now);
  [[nodiscard]] Clock::time_point next_deadline() const;
  // From now on: a PING after so long without a word, and so long for the answer. 0: never.
  void keep_alive(Clock::duration interval, Clock::duration timeout);
  [[nodiscard]] Clock::time_point heard() const { return heard_; }  // when bytes of the peer came last
  // Its SETTINGS have come: the peer speaks HTTP/2, and max_streams() is its own word.
  [[nodiscard]] bool peer_confirmed() const { return peer_confirmed_; }
  // The transport broke or closed: every open stream gets kReset with `code`, or kRefusedStream where nothing of it has
  // left, and the session is finished.
  void abort(ResetCode code);

  // ---- streams
  [[nodiscard]] bool can_open() const;         // client: there is room, and no GOAWAY
  [[nodiscard]] uint32_t max_streams() const;  // min(limits::kMaxStreams, the peer's)
  [[nodiscard]] uint32_t active_streams() const { return active_; }

  // Takes bytes from the front of `bytes`, up to limits::kSendQueueBytes queued; if some are left, kWritable follows.
  void send(Stream& stream, ring::Chain& bytes);
  void end(Stream& stream);  // half-close after what is queued
  void reset(Stream& stream, ResetCode code);
  // `bytes` of received() have left this process: the peer may send as many more.
  void consumed(Stream& stream, size_t bytes);
  // The owner forgets the stream; each opened or announced stream is released exactly once. One that is not through yet
  // is reset (kCancel), unless only queued bytes are left: those still go out.
  void release(Stream& stream);

  // ---- end
  // Graceful: the peer opens no new streams (told twice, a round trip apart, so that none on its way is lost), open
  // ones finish.
  void drain();
  [[nodiscard]] bool draining() const { return drain_ != Drain::kNo || peer_goaway_; }
  // Nothing left to say or hear: close the transport once the output is sent.
  [[nodiscard]] bool finished() const;

 protected:
  using AnyEvent = EventOf<Stream>;

  // `pool` and `counters` are the worker's and outlive the session. SETTINGS wait in the output from the start.
  Session(Role role, const SessionKind& kind, ring::BufferPool& pool, Counters& counters, Clock::time_point now);

  // ---- what the layer makes of header blocks. Called while the codec reads: it records, and delivers events.
  virtual Stream* make_stream() = 0;  // server: a request begins
  virtual void block_begins(Stream& /*stream*/) {}
  virtual void header(Stream& stream, std::string_view name, std::string_view value) = 0;
  // A head is whole. `too_large`: beyond what was offered, and cut. `end`: nothing follows it. False: an interim
  // response, another head follows.
  virtual bool head_is_whole(Stream& stream, bool too_large, bool end) = 0;
  virtual void trailers_are_whole(Stream& /*stream*/, bool /*too_large*/) {}
  // The stream's end is due, and end() was given trailers with it.
  virtual void add_trailers(Stream& /*stream*/, HeaderList& /*list*/) {}

  // ---- what the layer builds its own API of
  // Repeated events of one kind of a stream fold into one.
  [[nodiscard]] bool next_event(AnyEvent& event);
  void deliver(Stream& stream, EventKind kind, uint32_t code = 0);
  // Client: asks with these headers. `end`: nothing follows them.
  void ask(Stream* stream, const HeaderList& headers, bool end);
  // Server: a head without end: an interim one, or one that is followed by what is queued (`held` streams wait).
  void say(Stream& stream, const HeaderList& headers);
  // Server: the final head.
  void answer(Stream& stream, const HeaderList& headers, bool end);
  // What a client queued before its answer, but for the first `early` bytes, waits until let_go().
  static void hold(Stream& stream, ring::Chain early);
  void let_go(Stream& stream);
  static void end_with_trailers(Stream& stream) { stream.trailed_ = true; }
  // Its owner hears of nothing that happens from here on; only release() is left to call.
  static void mute(Stream& stream) { stream.dismissed_ = true; }
  // Nor of what has happened.
  void dismiss(Stream& stream);
  // A request that is none for this layer. False: there were too many, the session ends.
  bool count_bad_request(Breach breach);
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] static bool head_stands(const Stream& stream) { return stream.head_whole_; }
  [[nodiscard]] static bool answered(const Stream& stream) { return stream.answered_ || stream.dismissed_; }

  Counters& counters_;

 private:
  friend struct CodecCallbacks;
  enum class Drain : uint8_t { kNo, kAnnounced, kFinal };

  [[nodiscard]] bool output_full() const;  // the limit is reached, or the pool nearly dry
  bool session_event(AnyEvent& event, EventKind kind, bool& pending);
  void unlink_ready(Stream& stream);
  void add(Stream* stream);
  void forget(Stream& stream);
  void closed_by_wire(Stream& stream, uint32_t code);
  void resume(Stream& stream);
  void submit_trailers(Stream& stream);
  void grow_window(Stream& stream);
  [[nodiscard]] uint32_t elapsed_ms() const;
  // Ends the session for what the peer did.
  std::unexpected<Error> broken(Breach kind, std::string what);

  nghttp2_session* codec_ = nullptr;
  const SessionKind& kind_;
  ring::BufferPool& pool_;
  std::vector<Stream*> streams_;  // all that are not forgotten
  Stream* ready_head_ = nullptr;
  Stream* ready_tail_ = nullptr;
  ring::Chain* output_ = nullptr;  // during produce()
  size_t output_limit_ = 0;
  const ring::Buffer* input_ = nullptr;  // during feed(): the slice that the codec reads
  size_t header_list_bytes_ = 0;         // of the header block that the codec reads
  size_t arrived_bytes_ = 0;             // DATA bytes of this feed(), to be given back to the connection's window
  uint32_t active_ = 0;                  // streams that the wire has not closed
  uint32_t window_budget_ = limits::kWindowBudgetBytes;
  Clock::time_point started_;
  Clock::time_point now_;
  Clock::time_point heard_;
  Clock::time_point ping_sent_;
  Clock::duration ping_interval_;  // 0: no pings
  Clock::duration ping_timeout_;
  TokenBucket resets_;
  TokenBucket settings_{limits::kSettings};
  TokenBucket control_{limits::kControl};
  TokenBucket empty_data_{limits::kEmptyData};
  TokenBucket bad_requests_{limits::kBadRequests};
  std::string complaint_;           // the codec's last words on what the peer did
  Breach breach_ = Breach::kCount;  // found in a callback, acted upon after it
  Role role_;
  Drain drain_ = Drain::kNo;
  bool ping_outstanding_ = false;
  bool settings_seen_ = false;  // the peer has acknowledged ours
  bool peer_confirmed_ = false;
  bool settings_pending_ = false;  // session events not yet taken
  bool goaway_pending_ = false;
  bool peer_goaway_ = false;
  bool broken_ = false;
};

}  // namespace leat::http2
