// What requests say of the trace that they belong to, and what they are made to say on their way: W3C's traceparent
// (Trace Context, level 1) and both forms of Zipkin's B3. Pure; nothing here allocates.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace leat::proxy {

struct TraceId {
  uint64_t high = 0;  // 0 where the trace was begun with an id of 64 bits
  uint64_t low = 0;
  [[nodiscard]] bool valid() const { return (high | low) != 0; }
  bool operator==(const TraceId&) const = default;
};

// The fields of one request that speak of its trace. Empty: not there.
struct TraceFields {
  std::string_view traceparent, tracestate;
  std::string_view b3;
  std::string_view b3_trace_id, b3_span_id, b3_parent_span_id, b3_sampled, b3_flags;
  bool repeated = false;  // traceparent: which of them holds, nobody can tell

  // Takes a field into account; its name in any case.
  void note(std::string_view name, std::string_view value);
};

enum class Sampled : uint8_t {
  kUndecided,  // whoever comes next decides
  kNo,
  kYes,
  kDebug,  // yes, and nobody may say otherwise (B3)
};

// What a request came with. W3C's word counts before B3's, and B3's single field before its five.
struct IncomingTrace {
  TraceId trace;      // not valid: it belongs to none
  uint64_t span = 0;  // that asks; 0 where the trace is not valid
  Sampled sampled = Sampled::kUndecided;
  bool w3c = false;        // its traceparent is valid
  bool b3_single = false;  // fields that go on in step with traceparent, valid or not
  bool b3_multi = false;
  bool stale_state = false;  // a tracestate without a valid traceparent, which must not go on

  static IncomingTrace read(const TraceFields& fields);
};

// The fields that a request goes on with, in place of all fields of their names. The texts lie in this object.
class OutgoingTrace {
 public:
  struct Line {
    std::string_view name;
    std::string_view value;
  };

  // As `span` of `trace`, in traceparent and in the forms of B3 that `incoming` has. A B3 parent is named where the
  // request came with one.
  OutgoingTrace(const IncomingTrace& incoming, TraceId trace, uint64_t span, Sampled sampled);
  OutgoingTrace(const OutgoingTrace&) = delete;
  OutgoingTrace& operator=(const OutgoingTrace&) = delete;

  [[nodiscard]] std::span<const Line> set() const { return {lines_.data(), count_}; }
  [[nodiscard]] std::span<const std::string_view> remove() const { return {removed_.data(), removed_count_}; }

 private:
  static constexpr size_t kTraceparent = 55;  // "00-" 32 "-" 16 "-" 2
  static constexpr size_t kB3 = 68;           // 32 "-" 16 "-" 1 "-" 16
  void add(std::string_view name, std::string_view value) { lines_[count_++] = {name, value}; }

  std::array<char, kTraceparent> traceparent_;
  std::array<char, kB3> b3_;
  std::array<Line, 6> lines_;
  std::array<std::string_view, 4> removed_;
  size_t count_ = 0;
  size_t removed_count_ = 0;
};

// Lower-case hexadecimal, 16 digits a number. `out` has room for them; returns what follows.
char* write_hex(uint64_t value, char* out);

}  // namespace leat::proxy
