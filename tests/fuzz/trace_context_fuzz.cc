// The fields of a trace as a stranger sends them, one a line: what is read goes on such that the next one reads the
// same trace.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/telemetry/trace_context.h"

using namespace leat::proxy;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  TraceFields fields;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos) fields.note(line.substr(0, colon), line.substr(colon + 1));
  }
  const IncomingTrace incoming = IncomingTrace::read(fields);
  LEAT_CHECK(incoming.trace.valid() == (incoming.span != 0), "a trace without a span, or a span without a trace");
  const TraceId trace = incoming.trace.valid() ? incoming.trace : TraceId{1, 2};
  const Sampled sampled = incoming.sampled == Sampled::kUndecided ? Sampled::kYes : incoming.sampled;
  const OutgoingTrace outgoing(incoming, trace, 3, sampled);
  TraceFields next;
  for (const auto& [name, value] : outgoing.set()) next.note(name, value);
  const IncomingTrace again = IncomingTrace::read(next);
  LEAT_CHECK(again.w3c && again.trace == trace && again.span == 3, "a trace that reads differently");
  LEAT_CHECK(again.b3_single == incoming.b3_single && again.b3_multi == incoming.b3_multi, "another form of B3");
  next.traceparent = {};
  if (!again.b3_single && !again.b3_multi) return 0;
  const IncomingTrace b3 = IncomingTrace::read(next);
  LEAT_CHECK(b3.trace == trace && b3.span == 3 && b3.sampled == sampled, "B3 out of step with traceparent");
  return 0;
}
