#include "userspace-proxy/telemetry/request_tap.h"

#include <algorithm>
#include <string>

namespace leat::proxy {
namespace {

// Protobuf's texts must be UTF-8, and what a client sends need not be.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, limits::kTappedPath));
  std::ranges::replace_if(out, [](char c) { return c < 0x20 || c == 0x7f; }, '?');  // char is signed: above 0x7f too
  return out;
}

}  // namespace

void RequestTap::add(const ObservedRequest& request) {
  if (requests_.size() == limits::kTappedRequests) {
    if (requests_.front().sequence() >= asked_) ++dropped_;
    requests_.pop_front();
  }
  const FlowFacts& flow = *request.flow;
  v1::TappedRequest& out = requests_.emplace_back();
  out.set_sequence(sequence_.fetch_add(1, std::memory_order_relaxed));
  out.set_started_ms(std::chrono::duration_cast<std::chrono::milliseconds>(request.started.time_since_epoch()).count());
  out.set_duration_us(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(request.took).count()));
  out.set_method(shown(request.method));
  out.set_authority(shown(request.authority));
  out.set_path(shown(request.path));
  out.set_protocol(shown(request.protocol));
  out.set_status(request.code);
  out.set_flags(words(request.flags));
  out.set_reason(request.reason == Reason::kNone ? "" : std::string(name(request.reason)));
  out.set_subset(std::string(request.subset));
  out.set_request_bytes(request.request_bytes);
  out.set_response_bytes(request.response_bytes);
  out.set_attempts(flow.attempts);
  if (flow.source) {
    out.set_source_namespace(flow.source->namespace_);
    out.set_source_pod(flow.source->name);
  }
  if (flow.service) out.set_service(flow.service->key);
  if (request.trace) {
    std::string id(32, '0');
    write_hex(request.trace->trace.low, write_hex(request.trace->trace.high, id.data()));
    out.set_trace_id(std::move(id));
  }
  if (!request.tried()) return;
  out.set_security(word(flow.security));
  out.set_destination_address(flow.server.ip.wire());
  out.set_destination_port(flow.server.port);
  if (!flow.destination) return;
  out.set_destination_namespace(flow.destination->namespace_);
  out.set_destination_pod(flow.destination->name);
}

void RequestTap::report(uint64_t since, uint64_t until, Clock::time_point now, std::vector<v1::TappedRequest>* out) {
  on_ = true;
  until_ = now + limits::kTapTime;
  asked_ = until;
  for (const v1::TappedRequest& request : requests_) {
    if (request.sequence() >= since && request.sequence() < until) out->push_back(request);
  }
}

void RequestTap::tend(Clock::time_point now) {
  if (!on_ || now < until_) return;
  on_ = false;
  requests_.clear();
}

}  // namespace leat::proxy
