#include "userspace-proxy/flow/request_observer.h"

#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/telemetry/request_span.h"

namespace leat::proxy {
namespace {

std::optional<std::string_view> find_field(const void* fields, std::string_view name) {
  return static_cast<const http1::Fields*>(fields)->get(name);
}

HeadFields fields_of(const http1::Fields& fields) { return {.find = find_field, .fields = &fields}; }

}  // namespace

void RequestObserver::begin(const http1::RequestHead& request, http1::HeadEdits& edits) {
  const v1::MeshSettings& settings = worker_.mesh()->settings();
  if (!settings.has_tracing()) return;
  TraceFields fields;
  const http1::Fields& all = request.fields();
  for (const http1::Field& field : all.all()) fields.note(all.name(field), all.value(field));
  const WorkloadTelemetry* own = record_.source->telemetry.get();
  const double percent = own && own->sampling_percent ? *own->sampling_percent : settings.tracing().sampling_percent();
  const bool reporting = worker_.spans.has_collector() && !(own && own->tracing_disabled);
  worker_.tracer.begin(trace_.emplace(), fields, percent, reporting);
  if (!trace_->outgoing) return;
  for (const auto& [name, value] : trace_->outgoing->set()) edits.set(name, value);
  for (const std::string_view name : trace_->outgoing->remove()) edits.remove(name);
}

bool RequestObserver::anybody_looks() const {
  return (trace_ && trace_->reported) || worker_.access_log.wants(record_.source.get()) || worker_.tap.on();
}

void RequestObserver::end(const HttpExchange& exchange, const RequestFacts& facts, Reason reason,
                          const ChosenTarget& target) {
  if (!anybody_looks()) return;
  const Workload* source = record_.source.get();
  ObservedRequest request = observe(exchange, facts);
  request.reason = reason;
  if (target.route) request.route = target.route->name;
  if (target.port) request.subset = target.port->subset;
  if (trace_ && trace_->reported) worker_.spans.add(*source, request_span(request));
  if (worker_.access_log.wants(source)) worker_.access_log.write(request, source);
  if (worker_.tap.on()) worker_.tap.add(request);
}

ObservedRequest RequestObserver::observe(const HttpExchange& exchange, const RequestFacts& facts) const {
  ObservedRequest request{.flow = &record_,
                          .http = true,
                          .trace = trace_ ? &*trace_ : nullptr,
                          .took = facts.took,
                          .request_bytes = facts.request_bytes,
                          .response_bytes = facts.response_bytes,
                          .code = facts.code,
                          .call = facts.call,
                          .flags = facts.flags};
  request.started =
      std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(facts.took);
  if (exchange.has_request()) {
    const http1::RequestHead& head = exchange.request();
    request.method = head.method_text();
    request.authority = head.authority();
    request.path = head.path_and_query();
    request.protocol = record_.protocol == SeenProtocol::kHttp2 ? "HTTP/2"
                       : head.connection().http10               ? "HTTP/1.0"
                                                                : "HTTP/1.1";
    request.request_fields = fields_of(head.fields());
  }
  if (const http1::ResponseHead* head = exchange.response()) request.response_fields = fields_of(head->fields());
  return request;
}

}  // namespace leat::proxy
