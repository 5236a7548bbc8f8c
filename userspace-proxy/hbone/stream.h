// One CONNECT, as the owner of a Session sees it, and what happens to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/ip.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::hbone {

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

// What a CONNECT says. As a client, `authority` and any others that are not empty are sent, in this order; as a server,
// what the peer sent (untrusted, bounded by limits::kMaxHeaderValueBytes).
struct ConnectRequest {
  SocketAddress authority;
  std::string baggage;
  std::string forwarded;
  std::string traceparent;
};

// In the order in which a stream's events are delivered.
enum class EventKind : uint8_t {
  kConnect,   // server: stream->request() is valid; answer with accept() or refuse()
  kAccepted,  // client: 200
  kRefused,   // client: code = HTTP status; nothing follows, release the stream
  kReadable,  // there is something new in stream->received()
  kWritable,  // a send() that took less than offered may be tried again
  kEnded,     // the peer's half-close: nothing follows what is in received()
  kReset,     // code = ResetCode; the stream is closed. kRefusedStream: the peer did not act on it
  kClosed,    // both directions ended cleanly and everything sent is on its way
  kSettings,  // stream null: the peer's stream limit is known (again): max_streams()
  kGoaway,    // stream null: the peer takes no new streams; open ones go on
};

class Stream;

struct Event {
  EventKind kind;
  Stream* stream;
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

  // Server: from kConnect until accept() or refuse().
  [[nodiscard]] const ConnectRequest& request() const;
  // Client, after kRefused: why (the peer's `leat-reason`; empty if it is not Leat).
  [[nodiscard]] std::string_view refusal_reason() const;

 private:
  friend class Session;
  friend struct CodecCallbacks;

  // Of interest only at a stream's beginning, so that an open stream does not carry it.
  struct Headers {
    ConnectRequest request;
    std::string reason;
    bool is_connect = false;
    bool has_authority = false;
    bool too_large = false;
  };

  Stream() = default;

  ring::Chain received_;
  ring::Chain outgoing_;
  std::unique_ptr<Headers> headers_;
  Stream* next_ready_ = nullptr;  // streams with events, in the order in which they got them
  Stream* previous_ready_ = nullptr;
  uint32_t index_ = 0;  // in the session's list of all streams
  int32_t id_ = 0;
  uint32_t reset_code_ = 0;
  uint32_t early_bytes_ = 0;  // of outgoing_: those that need not wait for the answer
  uint32_t window_bytes_ = 0;
  uint32_t drained_bytes_ = 0;  // since drained_since_ms_: how fast the owner reads
  uint32_t drained_since_ms_ = 0;
  uint16_t status_ = 0;            // of the answer; 0: none yet
  uint16_t events_ = 0;            // not yet delivered, a bit each by EventKind
  bool answered_ : 1 = false;      // 200 sent or received
  bool refused_ : 1 = false;       // another status sent or received
  bool deferred_ : 1 = false;      // the codec waits for us to have bytes
  bool sender_waits_ : 1 = false;  // send() took less than was offered
  bool end_queued_ : 1 = false;
  bool peer_ended_ : 1 = false;
  bool closed_ : 1 = false;    // by the wire
  bool released_ : 1 = false;  // by the owner
};

}  // namespace leat::hbone
