// One stream of a Session: the bytes that wait in both directions and what has happened. What its header blocks mean is
// the business of the layer above, whose streams these are by inheritance.
#pragma once

#include <cstdint>

#include "userspace-proxy/ring/buffer.h"

namespace leat::http2 {

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

// In the order in which a stream's events are delivered.
enum class EventKind : uint8_t {
  kConnect,   // HBONE server: stream->request() is valid; answer with accept() or refuse()
  kAccepted,  // HBONE client: 200
  kRefused,   // HBONE client: code = HTTP status; nothing follows, release the stream
  kRequest,   // HTTP server: stream->request() stands, or its fault()
  kResponse,  // HTTP client: stream->response() stands, an interim one or the final one
  kReadable,  // there is something new in stream->received()
  kWritable,  // a send() that took less than offered may be tried again
  kEnded,     // the peer's half-close: nothing follows what is in received()
  kReset,     // code = ResetCode; the stream is closed. kRefusedStream: the peer did not act on it
  kClosed,    // both directions ended cleanly and everything sent is on its way
  kSettings,  // stream null: the peer's stream limit is known (again): max_streams()
  kGoaway,    // stream null: the peer takes no new streams; open ones go on
};

template <typename OfLayer>
struct EventOf {
  EventKind kind;
  OfLayer* stream;
  uint32_t code;
};

// Belongs to its Session and stays valid until Session::release(), also after the wire has closed it.
class Stream {
 public:
  // For the owner: found again in events.
  void* user = nullptr;

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] int32_t id() const { return id_; }
  // Bytes that the peer sent and the owner has not taken yet. Take slices out as you like, then report drained bytes by
  // consumed().
  ring::Chain& received() { return received_; }
  [[nodiscard]] size_t queued() const { return outgoing_.size(); }  // accepted by send(), not yet on the wire
  [[nodiscard]] bool peer_ended() const { return peer_ended_; }
  [[nodiscard]] bool closed() const { return closed_; }  // nothing more will come or go

 protected:
  Stream() = default;
  virtual ~Stream() = default;  // by its Session

 private:
  friend class Session;
  friend struct CodecCallbacks;

  ring::Chain received_;
  ring::Chain outgoing_;
  Stream* next_ready_ = nullptr;  // streams with events, in the order in which they got them
  Stream* previous_ready_ = nullptr;
  uint32_t index_ = 0;  // in the session's list of all streams
  int32_t id_ = 0;
  uint32_t reset_code_ = 0;
  uint32_t event_code_ = 0;   // of the next event that has one, but for kReset
  uint32_t early_bytes_ = 0;  // of outgoing_: those that may leave while the stream is held
  uint32_t window_bytes_ = 0;
  uint32_t drained_bytes_ = 0;  // since drained_since_ms_: how fast the owner reads
  uint32_t drained_since_ms_ = 0;
  uint16_t events_ = 0;            // not yet delivered, a bit each by EventKind
  bool held_ : 1 = true;           // what is queued stays here
  bool head_whole_ : 1 = false;    // the peer's head: what follows it is a trailer section
  bool left_ : 1 = false;          // as the client: our head has left, and the peer may act on it
  bool answered_ : 1 = false;      // as the server: our head is on its way
  bool dismissed_ : 1 = false;     // its owner hears no more of it
  bool deferred_ : 1 = false;      // the codec waits for us to have bytes
  bool sender_waits_ : 1 = false;  // send() took less than was offered
  bool end_queued_ : 1 = false;
  bool trailed_ : 1 = false;        // its end is not in DATA: trailers are the layer's
  bool end_announced_ : 1 = false;  // the end is with the codec
  bool peer_ended_ : 1 = false;
  bool closed_ : 1 = false;    // by the wire
  bool released_ : 1 = false;  // by the owner
};

}  // namespace leat::http2
