#include "userspace-proxy/telemetry/tracer.h"

#include <algorithm>
#include <array>

namespace leat::proxy {

// Ids must not repeat over all proxies of a mesh: a seed of 32 bits would, within days.
Tracer::Tracer() {
  std::random_device device;
  std::array<uint32_t, 16> words;
  std::ranges::generate(words, [&] { return device(); });
  std::seed_seq seed(words.begin(), words.end());
  random_.seed(seed);
}

uint64_t Tracer::id() {
  for (;;) {
    if (const uint64_t value = random_(); value != 0) return value;
  }
}

void Tracer::begin(RequestTrace& request, const TraceFields& fields, double sampling_percent, bool reporting) {
  request.incoming = IncomingTrace::read(fields);
  const IncomingTrace& incoming = request.incoming;
  Sampled sampled = incoming.sampled;
  if (sampled == Sampled::kUndecided) {
    const double drawn = std::uniform_real_distribution<double>(0, 100)(random_);
    sampled = drawn < sampling_percent ? Sampled::kYes : Sampled::kNo;
  }
  request.reported = reporting && sampled != Sampled::kNo;
  request.trace = incoming.trace.valid() ? incoming.trace : TraceId{id(), id()};
  request.span = incoming.span;
  const bool decided_here = incoming.sampled == Sampled::kUndecided;
  if (incoming.trace.valid() && !request.reported && !decided_here) return;
  request.span = id();
  request.outgoing.emplace(incoming, request.trace, request.span, sampled);
}

}  // namespace leat::proxy
