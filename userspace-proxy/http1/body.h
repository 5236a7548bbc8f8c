// What follows a head: bytes of a known length, chunks, or everything until the close. Private to http1 but for Step.
#pragma once

#include <cstdint>

#include "userspace-proxy/http1/fault.h"
#include "userspace-proxy/http1/fields.h"
#include "userspace-proxy/http1/head.h"
#include "userspace-proxy/http1/head_parser.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::http1 {

enum class Step : uint8_t {
  kNeedMore,  // all of `input` was taken; `body` may have got bytes
  kHead,      // `input` begins with what follows the head
  kEnd,       // `input` begins with what follows the message; `body` may have got bytes
  kFault,     // and so for every later call; `body` may have got bytes from before the fault
};

class BodyReader {
 public:
  void begin(Framing framing, uint64_t length);
  Step read(ring::Chain& input, ring::Chain& body);
  // Whether the close that just happened is this body's end.
  [[nodiscard]] bool ends_with_close() const { return framing_ == Framing::kUntilClose; }

  [[nodiscard]] const Fields& trailers() const { return trailers_; }
  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  enum class Phase : uint8_t { kSize, kExtension, kSizeEnd, kData, kDataCr, kDataLf, kTrailers };

  Step read_chunks(ring::Chain& input, ring::Chain& body);
  Fault read_framing(const char*& at, const char* end);
  Fault read_size_byte(char c);
  void move(ring::Chain& input, ring::Chain& body);
  Step refuse(Fault fault);

  Framing framing_ = Framing::kNone;
  Phase phase_ = Phase::kSize;
  Fault fault_ = Fault::kNone;
  uint8_t digits_ = 0;            // of the size line under way
  uint16_t extension_bytes_ = 0;  // of the chunk under way
  uint32_t all_extension_bytes_ = 0;
  uint64_t left_ = 0;   // of the body, or of the chunk
  uint64_t bytes_ = 0;  // given out
  HeadParser trailer_parser_{HeadParser::Kind::kTrailers};
  Fields trailers_;
};

}  // namespace leat::http1
