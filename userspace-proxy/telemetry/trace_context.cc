#include "userspace-proxy/telemetry/trace_context.h"

#include <algorithm>

namespace leat::proxy {
namespace {

constexpr std::string_view kTraceparentName = "traceparent";
constexpr std::string_view kTracestateName = "tracestate";
constexpr std::string_view kB3Name = "b3";
constexpr std::string_view kTraceIdName = "x-b3-traceid";
constexpr std::string_view kSpanIdName = "x-b3-spanid";
constexpr std::string_view kParentName = "x-b3-parentspanid";
constexpr std::string_view kSampledName = "x-b3-sampled";
constexpr std::string_view kFlagsName = "x-b3-flags";

// `known` is in lower case.
bool is_name(std::string_view name, std::string_view known) {
  return std::ranges::equal(
      name, known, [](char left, char right) { return (left >= 'A' && left <= 'Z' ? left | 0x20 : left) == right; });
}

// W3C wants lower case; B3's senders are not all that strict.
enum class Case : uint8_t { kLower, kAny };

std::optional<uint64_t> read_hex(std::string_view text, Case letters) {
  uint64_t value = 0;
  for (const char letter : text) {
    uint64_t digit;
    if (letter >= '0' && letter <= '9') {
      digit = static_cast<uint64_t>(letter - '0');
    } else if (letter >= 'a' && letter <= 'f') {
      digit = static_cast<uint64_t>(letter - 'a' + 10);
    } else if (letters == Case::kAny && letter >= 'A' && letter <= 'F') {
      digit = static_cast<uint64_t>(letter - 'A' + 10);
    } else {
      return std::nullopt;
    }
    value = value << 4 | digit;
  }
  return value;
}

// 32 digits, or B3's 16.
std::optional<TraceId> read_trace_id(std::string_view text, Case letters) {
  if (text.size() != 32 && (text.size() != 16 || letters == Case::kLower)) return std::nullopt;
  const size_t high_digits = text.size() - 16;
  const auto high = read_hex(text.substr(0, high_digits), letters);
  const auto low = read_hex(text.substr(high_digits), letters);
  if (!high || !low || (*high | *low) == 0) return std::nullopt;
  return TraceId{*high, *low};
}

std::optional<uint64_t> read_span_id(std::string_view text, Case letters) {
  if (text.size() != 16) return std::nullopt;
  const auto id = read_hex(text, letters);
  return id && *id != 0 ? id : std::nullopt;
}

// version "-" trace-id "-" parent-id "-" trace-flags, and of versions that are to come whatever follows behind a "-".
bool read_traceparent(std::string_view text, IncomingTrace& trace) {
  constexpr size_t kWhole = 55;
  if (text.size() < kWhole || text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  const auto version = read_hex(text.substr(0, 2), Case::kLower);
  if (!version || *version == 0xff) return false;
  if (text.size() > kWhole && (*version == 0 || text[kWhole] != '-')) return false;
  const auto id = read_trace_id(text.substr(3, 32), Case::kLower);
  const auto span = read_span_id(text.substr(36, 16), Case::kLower);
  const auto flags = read_hex(text.substr(53, 2), Case::kLower);
  if (!id || !span || !flags) return false;
  trace.trace = *id;
  trace.span = *span;
  trace.sampled = *flags & 1 ? Sampled::kYes : Sampled::kNo;
  return true;
}

Sampled read_sampled(std::string_view text) {
  if (text == "1" || text == "true") return Sampled::kYes;
  if (text == "0" || text == "false") return Sampled::kNo;
  if (text == "d") return Sampled::kDebug;
  return Sampled::kUndecided;
}

// trace-id "-" span-id, then "-" decision, then "-" parent; or the decision alone.
void read_b3_single(std::string_view text, IncomingTrace& trace) {
  const size_t id_end = text.find('-');
  if (id_end == std::string_view::npos) {
    trace.sampled = read_sampled(text);
    return;
  }
  const auto id = read_trace_id(text.substr(0, id_end), Case::kAny);
  const auto span = read_span_id(text.substr(id_end + 1, 16), Case::kAny);
  std::string_view rest = text.substr(std::min(text.size(), id_end + 17));
  if (!id || !span || (!rest.empty() && rest[0] != '-')) return;
  trace.trace = *id;
  trace.span = *span;
  if (!rest.empty()) trace.sampled = read_sampled(rest.substr(1, rest.find('-', 1) - 1));
}

void read_b3_multi(const TraceFields& fields, IncomingTrace& trace) {
  trace.sampled = fields.b3_flags == "1" ? Sampled::kDebug : read_sampled(fields.b3_sampled);
  const auto id = read_trace_id(fields.b3_trace_id, Case::kAny);
  const auto span = read_span_id(fields.b3_span_id, Case::kAny);
  if (!id || !span) return;
  trace.trace = *id;
  trace.span = *span;
}

char* write_trace_id(TraceId trace, char* out) { return write_hex(trace.low, write_hex(trace.high, out)); }

}  // namespace

void TraceFields::note(std::string_view name, std::string_view value) {
  if (name.size() < 2) return;
  switch (name[0] | 0x20) {
    case 't':
      if (is_name(name, kTraceparentName)) {
        repeated |= !traceparent.empty();
        traceparent = value;
      } else if (is_name(name, kTracestateName)) {
        tracestate = value;
      }
      return;
    case 'b':
      if (is_name(name, kB3Name)) b3 = value;
      return;
    case 'x':
      for (const auto [known, member] :
           {std::pair(kTraceIdName, &TraceFields::b3_trace_id), std::pair(kSpanIdName, &TraceFields::b3_span_id),
            std::pair(kParentName, &TraceFields::b3_parent_span_id), std::pair(kSampledName, &TraceFields::b3_sampled),
            std::pair(kFlagsName, &TraceFields::b3_flags)}) {
        if (is_name(name, known)) this->*member = value;
      }
      return;
    default:
      return;
  }
}

IncomingTrace IncomingTrace::read(const TraceFields& fields) {
  IncomingTrace trace;
  trace.b3_single = !fields.b3.empty();
  trace.b3_multi = !fields.b3_trace_id.empty() || !fields.b3_span_id.empty() || !fields.b3_parent_span_id.empty() ||
                   !fields.b3_sampled.empty() || !fields.b3_flags.empty();
  trace.w3c = !fields.repeated && read_traceparent(fields.traceparent, trace);
  trace.stale_state = !trace.w3c && !fields.tracestate.empty();
  if (!trace.w3c && trace.b3_single) read_b3_single(fields.b3, trace);
  if (!trace.trace.valid() && trace.sampled == Sampled::kUndecided && trace.b3_multi) read_b3_multi(fields, trace);
  return trace;
}

OutgoingTrace::OutgoingTrace(const IncomingTrace& incoming, TraceId trace, uint64_t span, Sampled sampled) {
  const bool yes = sampled == Sampled::kYes || sampled == Sampled::kDebug;
  const auto view = [](const char* begin, const char* end) {
    return std::string_view(begin, static_cast<size_t>(end - begin));
  };
  char* at = traceparent_.data();
  at = std::ranges::copy(std::string_view("00-"), at).out;
  at = write_trace_id(trace, at);
  *at++ = '-';
  at = write_hex(span, at);
  at = std::ranges::copy(std::string_view(yes ? "-01" : "-00"), at).out;
  add(kTraceparentName, view(traceparent_.data(), at));
  if (incoming.stale_state) removed_[removed_count_++] = kTracestateName;
  if (!incoming.b3_single && !incoming.b3_multi) return;

  // One text for both forms of B3: the fields of the other are parts of it.
  char* const ids = b3_.data();
  char* const span_at = write_trace_id(trace, ids) + 1;
  span_at[-1] = '-';
  char* const decision = write_hex(span, span_at) + 1;
  decision[-1] = '-';
  *decision = sampled == Sampled::kDebug ? 'd' : yes ? '1' : '0';
  char* end = decision + 1;
  if (incoming.span != 0) {
    *end++ = '-';
    end = write_hex(incoming.span, end);
  }
  if (incoming.b3_single) add(kB3Name, view(ids, end));
  if (!incoming.b3_multi) return;
  add(kTraceIdName, view(ids, ids + 32));
  add(kSpanIdName, view(span_at, span_at + 16));
  if (incoming.span != 0) {
    add(kParentName, view(end - 16, end));
  } else {
    removed_[removed_count_++] = kParentName;
  }
  if (sampled == Sampled::kDebug) {
    add(kFlagsName, "1");
    removed_[removed_count_++] = kSampledName;  // implied
  } else {
    add(kSampledName, view(decision, decision + 1));
    removed_[removed_count_++] = kFlagsName;
  }
}

char* write_hex(uint64_t value, char* out) {
  for (int shift = 60; shift >= 0; shift -= 4) *out++ = "0123456789abcdef"[value >> shift & 0xf];
  return out;
}

}  // namespace leat::proxy
