// One end of an HTTP/2 connection whose streams are CONNECT tunnels (HBONE), without a socket: plaintext bytes in,
// events and plaintext bytes out. One thread owns a Session and everything in it.
//
// How it is used: feed() what arrived, take next_event() until there is none, act (open, accept, send, consumed …),
// then produce() what is to be sent. Nothing is called back.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "userspace-proxy/hbone/counters.h"
#include "userspace-proxy/hbone/limits.h"
#include "userspace-proxy/hbone/stream.h"
#include "userspace-proxy/hbone/token_bucket.h"
#include "userspace-proxy/ring/buffer.h"

struct nghttp2_session;

namespace leat::hbone {

using Clock = std::chrono::steady_clock;

class Session {
 public:
  enum class Role : uint8_t { kClient, kServer };

  // `pool` and `counters` are the worker's and outlive the session. SETTINGS wait in the output from the start.
  Session(Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();  // every stream goes with it

  // ---- wire
  // Takes all of `plaintext`. An error means that the session is broken: produce() what is left (a GOAWAY), then close;
  // its streams have a kReset event each.
  Result<void> feed(ring::Chain&& plaintext, Clock::time_point now);
  // Appends frames to `out` until it holds about `limit` bytes, nothing is left, or the pool is nearly dry. Frames of
  // several streams follow one another without gaps, so that a TLS record carries many.
  void produce(ring::Chain& out, size_t limit);
  [[nodiscard]] bool wants_produce() const;
  // Keeps the session alive: sends PING when nothing was heard, and breaks it (as feed() does) when nothing answers.
  // Call at next_deadline().
  Result<void> on_time(Clock::time_point now);
  [[nodiscard]] Clock::time_point next_deadline() const;
  [[nodiscard]] Clock::time_point heard() const { return heard_; }  // when bytes of the peer came last
  // The transport broke or closed: every open stream gets kReset with `code`, and the session is finished.
  void abort(ResetCode code);

  // ---- events
  // Repeated kReadable of a stream fold into one.
  [[nodiscard]] bool next_event(Event& event);

  // ---- streams
  [[nodiscard]] bool can_open() const;         // client: there is room, and no GOAWAY
  [[nodiscard]] uint32_t max_streams() const;  // min(limits::kMaxStreams, the peer's)
  [[nodiscard]] uint32_t active_streams() const { return active_; }
  // Client: a new stream; can_open() must hold. Bytes sent before kAccepted wait here, but for `early`: those leave
  // with the request (RFC 9113, section 8.5 lets a client not wait), so the peer may have acted on them whatever it
  // answers but a refusal.
  Stream& open(const ConnectRequest& request, ring::Chain early = {});
  // Server: answers kConnect with 200.
  void accept(Stream& stream, std::string_view baggage);
  // Server: answers kConnect with a status as wire peers read it (400, 401, 503) and a token for the peer's operator
  // ("no-endpoint"). Nothing follows: release the stream.
  void refuse(Stream& stream, uint16_t status, std::string_view reason);

  // Takes bytes from the front of `bytes`, up to limits::kSendQueueBytes queued; if some are left, kWritable follows.
  void send(Stream& stream, ring::Chain& bytes);
  void end(Stream& stream);  // half-close after what is queued
  void reset(Stream& stream, ResetCode code);
  // `bytes` of received() have left this process: the peer may send as many more.
  void consumed(Stream& stream, size_t bytes);
  // The owner forgets the stream; each opened or announced stream is released exactly once. One that is not through yet
  // is reset (kCancel), unless both sides have ended and only queued bytes are left: those still go out.
  void release(Stream& stream);

  // ---- end
  // Graceful: the peer opens no new streams (told twice, a round trip apart, so that none on its way is lost), open
  // ones finish.
  void drain();
  [[nodiscard]] bool draining() const { return drain_ != Drain::kNo || peer_goaway_; }
  // Nothing left to say or hear: close the transport once the output is sent.
  [[nodiscard]] bool finished() const;

 private:
  friend struct CodecCallbacks;
  enum class Drain : uint8_t { kNo, kAnnounced, kFinal };

  [[nodiscard]] bool output_full() const;  // the limit is reached, or the pool nearly dry
  void deliver(Stream& stream, EventKind kind);
  bool session_event(Event& event, EventKind kind, bool& pending);
  void unlink_ready(Stream& stream);
  Stream& add_stream();
  void forget(Stream& stream);
  void closed_by_wire(Stream& stream, uint32_t code);
  void resume(Stream& stream);
  void grow_window(Stream& stream);
  [[nodiscard]] uint32_t elapsed_ms() const;
  // Ends the session for what the peer did.
  std::unexpected<Error> broken(Breach kind, std::string what);

  nghttp2_session* codec_ = nullptr;
  ring::BufferPool& pool_;
  Counters& counters_;
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
  TokenBucket resets_{limits::kUnansweredResets};
  TokenBucket settings_{limits::kSettings};
  TokenBucket control_{limits::kControl};
  TokenBucket empty_data_{limits::kEmptyData};
  TokenBucket bad_requests_{limits::kBadRequests};
  std::string complaint_;           // the codec's last words on what the peer did
  Breach breach_ = Breach::kCount;  // found in a callback, acted upon after it
  Role role_;
  Drain drain_ = Drain::kNo;
  bool ping_outstanding_ = false;
  bool settings_pending_ = false;  // session events not yet taken
  bool goaway_pending_ = false;
  bool peer_goaway_ = false;
  bool broken_ = false;
};

}  // namespace leat::hbone
