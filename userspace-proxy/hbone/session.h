// One end of an HTTP/2 connection whose streams are CONNECT tunnels (HBONE), without a socket: plaintext bytes in, events and plaintext
// bytes out. One thread owns a Session and everything in it.
//
// How it is used: feed() what arrived, take next_event() until there is none, act (open, accept, send, consumed …), then produce() what is
// to be sent. Nothing is called back.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>

#include "common/ip.h"
#include "common/result.h"
#include "userspace-proxy/hbone/limits.h"
#include "userspace-proxy/ring/buffer.h"

struct nghttp2_session;

namespace leat::hbone {

using Clock = std::chrono::steady_clock;

// Why a peer was refused or a session ended: an index into Counters.
enum class Breach : uint8_t {
  kNotHttp2,         // HTTP/1.1, or garbage, where the connection preface belongs
  kProtocol,         // another violation of RFC 9113, found by the codec
  kHeaderList,       // header list too large, or too many CONTINUATION frames
  kNotConnect,       // a method other than CONNECT
  kAuthority,        // no address and port in :authority, or oversized
  kRapidReset,
  kSettingsFlood,
  kControlFlood,     // PING, PRIORITY, unknown frames
  kEmptyDataFlood,
  kBadRequestFlood,
  kTooManyStreams,   // opened more streams than we offered
  kPingTimeout,      // did not answer
  kCount,
};
std::string_view name(Breach breach);  // a label for metrics: "rapid_reset"

// Plain numbers of one worker; they outlive its sessions.
struct Counters {
  uint64_t streams_opened = 0;
  uint64_t streams_accepted = 0;  // by us as the server
  uint64_t streams_refused = 0;
  uint64_t resets_received = 0;
  uint64_t resets_sent = 0;
  uint64_t breaches[static_cast<size_t>(Breach::kCount)] = {};
};

// RFC 9113, section 7.
enum class ResetCode : uint32_t {
  kNoError = 0,
  kProtocolError = 1,
  kInternalError = 2,
  kRefusedStream = 7,  // not processed: safe to try elsewhere
  kCancel = 8,
  kConnectError = 10,  // the TCP connection behind the stream was reset
  kEnhanceYourCalm = 11,
};

// What a CONNECT says. As a client, `authority` and any others that are not empty are sent, in this order; as a server, what the peer sent
// (untrusted, bounded by limits::kMaxHeaderValueBytes).
struct ConnectRequest {
  SocketAddress authority;
  std::string baggage;
  std::string forwarded;
  std::string traceparent;
};

class Session;

// One CONNECT. It belongs to its Session and stays valid until Session::release(), also after the wire has closed it.
class Stream {
 public:
  // For the owner: found again in events.
  void* user = nullptr;

  [[nodiscard]] int32_t id() const { return id_; }
  // Bytes that the peer sent and the owner has not taken yet. Take slices out as you like, then report drained bytes by consumed().
  ring::Chain& received() { return received_; }
  [[nodiscard]] size_t queued() const { return outgoing_.size(); }  // accepted by send(), not yet on the wire
  [[nodiscard]] bool peer_ended() const { return peer_ended_; }
  [[nodiscard]] bool closed() const { return closed_; }  // nothing more will come or go

  // Server: valid from kConnect until accept() or refuse().
  [[nodiscard]] const ConnectRequest& request() const;
  // Client, after kAccepted or kRefused: the peer's baggage, and a refusal's reason (from `leat-reason`, empty if the peer is not Leat).
  [[nodiscard]] std::string_view answer_baggage() const;
  [[nodiscard]] std::string_view refusal_reason() const;

 private:
  friend class Session;
  friend struct SessionCallbacks;
  struct Headers;

  Stream() = default;

  ring::Chain received_;
  ring::Chain outgoing_;
  std::unique_ptr<Headers> headers_;   // only while a request or an answer is of interest
  Stream* next_ready_ = nullptr;       // list of streams with pending events
  Stream* previous_ready_ = nullptr;
  int32_t id_ = 0;
  uint32_t code_ = 0;                  // status or reset code of the pending event
  uint32_t window_bytes_ = limits::kInitialWindowBytes;
  uint32_t unconsumed_bytes_ = 0;      // received and not reported by consumed()
  uint8_t pending_ = 0;                // events not yet taken, a bit each
  bool answered_ : 1 = false;          // 200 sent or received
  bool deferred_ : 1 = false;          // the codec waits for us to have bytes
  bool sender_waits_ : 1 = false;      // send() took less than was offered
  bool end_queued_ : 1 = false;
  bool peer_ended_ : 1 = false;
  bool closed_ : 1 = false;
  bool released_ : 1 = false;
  bool ready_ : 1 = false;
};

enum class EventKind : uint8_t {
  kConnect,   // server: stream->request() is valid; answer with accept() or refuse()
  kAccepted,  // client: 200
  kRefused,   // client: code = HTTP status; release the stream
  kReadable,  // there is something new in stream->received()
  kEnded,     // the peer's half-close: nothing follows what is in received()
  kWritable,  // a send() that took less than offered may be tried again
  kReset,     // code = ResetCode; the stream is closed. kRefusedStream: the peer did not act on it
  kClosed,    // both directions ended cleanly and everything sent is on its way
  kSettings,  // stream null: the peer's stream limit is known (again): max_streams()
  kGoaway,    // stream null: the peer takes no new streams, or we may not open any more; open ones go on
};

struct Event {
  EventKind kind;
  Stream* stream;
  uint32_t code;
};

class Session {
 public:
  enum class Role : uint8_t { kClient, kServer };

  // `pool` and `counters` are the worker's and outlive the session. SETTINGS wait in the output from the start.
  Session(Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();  // every stream goes with it

  // ---- wire
  // Takes bytes from the peer. An error means that the session is broken: produce() what is left (a GOAWAY), then close; its streams have
  // a kReset event each. Bytes not taken because the pool is dry stay in `plaintext` (not an error; feed again when blocks are back).
  Result<void> feed(ring::Chain& plaintext, Clock::time_point now);
  // Appends frames to `out` until it holds about `limit` bytes or nothing is left. Frames of several streams follow one another without
  // gaps, so that a TLS record carries many.
  void produce(ring::Chain& out, size_t limit);
  [[nodiscard]] bool wants_produce() const;
  // Keeps the session alive: sends PING, and breaks it (as feed() does) when one stays unanswered. Call at next_deadline().
  Result<void> on_time(Clock::time_point now);
  [[nodiscard]] Clock::time_point next_deadline() const;
  // The transport broke: every open stream gets kReset with `code`.
  void abort(ResetCode code);

  // ---- events
  // Repeated kReadable of a stream fold into one. Order within a stream: answer, readable, writable, ended, reset or closed.
  [[nodiscard]] bool next_event(Event& event);

  // ---- streams
  [[nodiscard]] bool can_open() const;           // client: there is room, and no GOAWAY
  [[nodiscard]] uint32_t max_streams() const;    // min(limits::kMaxStreams, the peer's)
  [[nodiscard]] uint32_t active_streams() const { return active_; }
  // Client: a new stream; can_open() must hold. Bytes sent before kAccepted wait here.
  Stream& open(const ConnectRequest& request);
  // Server: answers kConnect.
  void accept(Stream& stream, std::string_view baggage);
  // `reason`: a token for the peer's operator ("no-endpoint"); the stream ends, release it. Status as wire peers read them: 400, 401, 503.
  void refuse(Stream& stream, uint32_t status, std::string_view reason);

  // Takes bytes from the front of `bytes`, up to limits::kSendQueueBytes queued; if some are left, kWritable follows.
  void send(Stream& stream, ring::Chain& bytes);
  void end(Stream& stream);  // half-close after what is queued
  void reset(Stream& stream, ResetCode code);
  // `bytes` of received() have left this process: the peer may send as many more.
  void consumed(Stream& stream, size_t bytes);
  // The owner forgets the stream; each opened or announced stream is released exactly once. One that is not through yet is reset
  // (kCancel), unless both sides have ended and only queued bytes are left: those still go out.
  void release(Stream& stream);

  // ---- end
  // Graceful: the peer opens no new streams (server: after one round trip), open ones finish.
  void drain();
  [[nodiscard]] bool draining() const { return draining_ || peer_goaway_; }
  // Nothing left to say or hear: close the transport once the output is sent.
  [[nodiscard]] bool finished() const;

 private:
  friend struct SessionCallbacks;

  // A bucket of tokens, refilled with time.
  class Bucket {
   public:
    explicit Bucket(limits::Rate rate) : rate_(rate), tokens_(rate.burst) {}
    bool take(Clock::time_point now);

   private:
    limits::Rate rate_;
    double tokens_;
    Clock::time_point last_{};
  };
  struct Floods {
    Bucket resets{limits::kUnansweredResets};
    Bucket settings{limits::kSettings};
    Bucket control{limits::kControl};
    Bucket empty_data{limits::kEmptyData};
    Bucket bad_requests{limits::kBadRequests};
  };

  void push(Stream& stream, EventKind kind, uint32_t code = 0);
  void unlink(Stream& stream);
  void forget(Stream& stream);
  void closed_by_wire(Stream& stream, uint32_t code);
  void resume(Stream& stream);
  void grow_window(Stream& stream);
  void breach(Breach kind);
  std::unexpected<Error> broken(Breach kind, std::string what);

  nghttp2_session* codec_ = nullptr;
  ring::BufferPool& pool_;
  Counters& counters_;
  std::unordered_set<Stream*> streams_;  // all that are not forgotten
  Stream* ready_head_ = nullptr;
  Stream* ready_tail_ = nullptr;
  ring::Chain* output_ = nullptr;        // during produce()
  const ring::Buffer* input_ = nullptr;  // during feed(): the slice that the codec reads
  size_t arrived_bytes_ = 0;             // DATA bytes of this feed(), to be given back to the connection's window
  uint32_t active_ = 0;
  uint32_t window_budget_ = limits::kWindowBudgetBytes;
  Clock::time_point now_;
  Clock::time_point ping_sent_{};
  Clock::time_point last_heard_;
  Floods floods_;
  std::string codec_message_;            // the codec's last complaint
  Breach breach_ = Breach::kCount;       // set in a callback, acted upon after it
  Role role_;
  uint8_t pending_ = 0;                  // session events not yet taken
  bool ping_outstanding_ = false;
  bool draining_ = false;
  bool peer_goaway_ = false;
  bool broken_ = false;
};

}  // namespace leat::hbone
