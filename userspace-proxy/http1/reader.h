// HTTP/1.1 messages out of bytes, strictly (RFC 9110, 9112): whatever two implementations could read differently is a
// fault. Nothing here does I/O or waits; the owner feeds a Chain and acts on what a Step (body.h) says. This
// folder knows nothing of routes, sockets or policy.
//
//   for (;;) {
//     switch (reader.read(input, body)) {
//       case Step::kNeedMore: send `body` on if it holds bytes; receive into `input` (at its end: read_end())
//       case Step::kHead:     reader.head() is whole; go on with read()
//       case Step::kEnd:      send `body` on; the message is over, reader.trailers() stand; next() begins another
//       case Step::kFault:    reader.fault(): answer, close
//     }
//   }
#pragma once

#include <cstdint>

#include "userspace-proxy/http1/body.h"
#include "userspace-proxy/http1/fault.h"
#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/http1/head_parser.h"
#include "userspace-proxy/http1/rules.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::http1 {

// Of a head's bytes a copy is kept, of a body's none: its slices move from `input` to `body`, chunk framing removed.
// How much a body may hold in memory is the owner's affair: read() makes `body` no longer than `input` was.
class RequestReader {
 public:
  Step read(ring::Chain& input, ring::Chain& body);
  // The peer closed and all of `input` was read: kNeedMore if no message had begun, else kFault (kTruncated).
  Step read_end();
  // After kEnd: another message. Text of the last one is gone.
  void next();

  [[nodiscard]] const RequestHead& head() const { return head_; }
  // After kEnd. Fields that no trailer may carry are gone, all others are valid; never to be merged into a head.
  [[nodiscard]] const Fields& trailers() const { return body_.trailers(); }
  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] bool started() const { return parser_.started(); }  // a byte of the message was read
  [[nodiscard]] bool has_head() const { return has_head_; }
  [[nodiscard]] bool ended() const { return ended_; }                  // kEnd was returned
  [[nodiscard]] uint64_t body_bytes() const { return body_.bytes(); }  // put into `body` so far

 private:
  Step refuse(Fault fault);

  HeadParser parser_{HeadParser::Kind::kRequest};
  RequestHead head_;
  BodyReader body_;
  Fault fault_ = Fault::kNone;
  bool has_head_ = false;
  bool ended_ = false;
};

inline Asked asked_by(const RequestHead& request) {
  return {request.method() == Method::kHead, request.method() == Method::kConnect, request.connection().upgrade};
}

// An interim response (1xx but 101) is a kHead alone: the next read() reads the head after it. 101, and 2xx to CONNECT,
// end at once: what remains in `input` belongs to the other protocol.
class ResponseReader {
 public:
  explicit ResponseReader(Asked asked = {}) : asked_(asked) {}

  Step read(ring::Chain& input, ring::Chain& body);
  // As RequestReader's, and kEnd for a body that lasts until the close.
  Step read_end();
  // After kEnd: the response to another request.
  void next(Asked asked);

  [[nodiscard]] const ResponseHead& head() const { return head_; }
  [[nodiscard]] const Fields& trailers() const { return body_.trailers(); }
  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] bool started() const {
    return seen_interim_ || parser_.started();
  }  // a byte of this response or of an interim one was read
  [[nodiscard]] bool has_head() const { return has_head_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] uint64_t body_bytes() const { return body_.bytes(); }

 private:
  Step refuse(Fault fault);
  void restart_head();

  Asked asked_;
  HeadParser parser_{HeadParser::Kind::kResponse};
  ResponseHead head_;
  BodyReader body_;
  Fault fault_ = Fault::kNone;
  bool seen_interim_ = false;
  bool has_head_ = false;
  bool ended_ = false;
};

}  // namespace leat::http1
