// Lines into fields: the part of a message that is text. What the fields mean is rules.h's business. Private to http1.
#pragma once

#include <cstdint>
#include <string_view>

#include "userspace-proxy/http1/fault.h"
#include "userspace-proxy/http1/fields.h"
#include "userspace-proxy/http1/rules.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::http1 {

// Reads a start line and field lines up to the empty line, in one pass that goes on where it stopped, however the bytes
// are cut: no text is scanned twice. A head that lies whole in one slice is parsed there and copied once; other bytes
// are copied as they come, so that a peer that trickles pins no blocks.
class HeadParser {
 public:
  enum class Kind : uint8_t { kRequest, kResponse, kTrailers };
  enum class Progress : uint8_t { kNeedMore, kDone, kFault };

  explicit HeadParser(Kind kind) : kind_(kind) { reset(); }
  // Another section; what `fields` held is gone.
  void restart(Fields& fields) {
    fields.clear();
    reset();
  }

  // Takes bytes from `input` up to the section's end. `fields` is the same object for one section.
  Progress read(ring::Chain& input, Fields& fields);

  [[nodiscard]] bool done() const { return phase_ == Phase::kDone; }
  [[nodiscard]] bool started() const { return started_; }  // a byte was read; an empty line before a request is none
  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] StartLine start_line() const { return {first_, second_, status_, http10_}; }

 private:
  // Where the next byte belongs.
  enum class Phase : uint8_t {
    kFirstByte,
    kEmptyLineEnd,  // LF of the empty line that may stand before a request
    kMethod,
    kTarget,
    kVersion,
    kStatus,
    kReason,
    kStartLineEnd,
    kFieldStart,
    kName,
    kValue,
    kFieldEnd,
    kSectionEnd,  // LF of the empty line that ends the section
    kDone,
  };

  void reset();
  bool skip_empty_line(char c);
  // Go on at at_ in the section's first `size` (up to `end`) bytes.
  Progress parse(const char* bytes, size_t size, Fields& fields);
  Progress parse_start_line(const char* bytes, uint32_t end);
  Progress parse_fields(const char* bytes, uint32_t end, Fields& fields);
  Fault parse_version_byte(char c);
  Fault parse_status_byte(char c);
  void add_field(const char* bytes, Fields& fields);
  static Fault after_target(char c);
  static Fault after_name(char c);
  Progress refuse(Fault fault);

  Kind kind_;
  Phase phase_;
  Fault fault_;
  bool started_;
  bool http10_;
  bool unsupported_;  // version
  uint16_t status_;
  Span first_;
  Span second_;
  uint32_t at_;    // the next byte to look at
  uint32_t mark_;  // where the part under way began
  Field field_;    // under way
};

}  // namespace leat::http1
