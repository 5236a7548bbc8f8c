// Which trace a request is part of: that of its parent, or a new one; and whether a span of it is reported. One a
// worker.
#pragma once

#include <optional>
#include <random>

#include "userspace-proxy/telemetry/trace_context.h"

namespace leat::proxy {

struct RequestTrace {
  IncomingTrace incoming;
  TraceId trace;
  uint64_t span = 0;      // ours, where the server is told of it; else the parent's
  bool reported = false;  // a span of this request is sent to the collector
  // Nothing: the fields that the request came with go on as they are.
  std::optional<OutgoingTrace> outgoing;
};

class Tracer {
 public:
  Tracer();

  // Every request has a trace afterwards. A parent's decision counts; `sampling_percent` is of those without one. A
  // span that is not `reporting` would be missing in the trace, and so the parent's goes on in its place.
  void begin(RequestTrace& request, const TraceFields& fields, double sampling_percent, bool reporting);

 private:
  uint64_t id();  // never 0

  std::mt19937_64 random_;
};

}  // namespace leat::proxy
