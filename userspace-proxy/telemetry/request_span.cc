#include "userspace-proxy/telemetry/request_span.h"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

namespace leat::proxy {
namespace {

// Methods that a span may be named after: others could be as many as a client can think of.
constexpr std::array<std::string_view, 10> kMethods = {"GET",     "HEAD",  "POST",  "PUT",     "DELETE",
                                                       "CONNECT", "TRACE", "PATCH", "OPTIONS", "QUERY"};

constexpr uint8_t kUnimplemented = 12;  // of gRPC

// Protobuf's texts must be UTF-8, and a path or a header need not be.
std::string utf8(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) >= 0x80 || static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  return out;
}

class Attributes {
 public:
  explicit Attributes(otlp::Span& span) : span_(span) {}
  void add(std::string_view key, std::string_view value) {
    if (!value.empty()) next(key).set_string_value(utf8(value));
  }
  void add(std::string_view key, int64_t value) { next(key).set_int_value(value); }

 private:
  otlp::AnyValue& next(std::string_view key) {
    otlp::KeyValue& attribute = *span_.add_attributes();
    attribute.set_key(std::string(key));
    return *attribute.mutable_value();
  }
  otlp::Span& span_;
};

std::string bytes_of(uint64_t value) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  return bytes;
}

// Host and port that the client asked for: as it wrote them, else where it connected.
void add_server(const ObservedRequest& request, Attributes& attributes) {
  std::string_view host = request.authority;
  int64_t port = request.flow->requested.port;
  const size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    int64_t written = 0;
    for (const char c : host.substr(colon + 1))
      written = written * 10 + (c - '0');  // the parser let digits through only
    if (colon + 1 < host.size()) port = written;
    host = host.substr(0, colon);
  }
  const std::string address = request.flow->requested.ip.text();
  attributes.add("server.address", host.empty() ? address : host);
  attributes.add("server.port", port);
}

void add_http(const ObservedRequest& request, Attributes& attributes) {
  const bool known = std::ranges::find(kMethods, request.method) != kMethods.end();
  attributes.add("http.request.method", known ? request.method : "_OTHER");
  if (!known) attributes.add("http.request.method_original", request.method);
  const size_t path_end = std::min(request.path.find('?'), request.path.size());
  const std::string requested = request.flow->requested.text();
  attributes.add("url.full",
                 fmt::format("http://{}{}", request.authority.empty() ? requested : request.authority, request.path));
  attributes.add("url.scheme", "http");
  attributes.add("url.path", request.path.substr(0, path_end));
  attributes.add("url.query", request.path.substr(std::min(path_end + 1, request.path.size())));
  attributes.add("network.protocol.name", "http");
  const size_t slash = request.protocol.find('/');
  if (slash != std::string_view::npos) attributes.add("network.protocol.version", request.protocol.substr(slash + 1));
  attributes.add("user_agent.original", request.request_fields.get("user-agent").value_or(""));
  attributes.add("http.request.body.size", static_cast<int64_t>(request.request_bytes));
  attributes.add("http.response.body.size", static_cast<int64_t>(request.response_bytes));
  if (request.code > 0) attributes.add("http.response.status_code", request.code);
}

// "shop.Cart" and "Add" of "/shop.Cart/Add"; both empty where the path is no method's.
std::pair<std::string_view, std::string_view> method_of_call(const ObservedRequest& request) {
  std::string_view path = request.path;
  const size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0 || slash == std::string_view::npos ||
      path.find('?') != std::string_view::npos)
    return {};
  return {path.substr(1, slash - 1), path.substr(slash + 1)};
}

void add_call(const ObservedRequest& request, Attributes& attributes) {
  if (!request.call.grpc) return;
  const auto [service, method] = method_of_call(request);
  attributes.add("rpc.system", "grpc");
  attributes.add("rpc.service", service);
  attributes.add("rpc.method", method);
  if (request.call.status) attributes.add("rpc.grpc.status_code", static_cast<int64_t>(*request.call.status));
}

// A call is named by its method, for those are few: what a server does not know, it answers with UNIMPLEMENTED. Paths
// of HTTP are too many.
std::string name_of(const ObservedRequest& request) {
  const bool answered = request.call.grpc && request.call.status && *request.call.status != kUnimplemented;
  const auto [service, method] = method_of_call(request);
  if (answered && !method.empty()) return utf8(fmt::format("{}/{}", service, method));
  const bool known = std::ranges::find(kMethods, request.method) != kMethods.end();
  return known ? std::string(request.method) : "HTTP";
}

void add_mesh(const ObservedRequest& request, Attributes& attributes) {
  const FlowFacts& flow = *request.flow;
  if (flow.service) {
    attributes.add("peer.service", flow.service->name);
    attributes.add("leat.destination.service", flow.service->key);
  }
  attributes.add("leat.route", request.route);
  attributes.add("leat.destination.subset", request.subset);
  attributes.add("leat.response_flags", words(request.flags));
  attributes.add("leat.reason", request.reason == Reason::kNone ? "" : name(request.reason));
  if (!request.tried()) return;
  attributes.add("network.peer.address", flow.server.ip.text());
  attributes.add("network.peer.port", flow.server.port);
  attributes.add("leat.security", word(flow.security));
  if (flow.attempts > 1) attributes.add("http.request.resend_count", flow.attempts - 1);
  if (!flow.destination) return;
  attributes.add("leat.destination.namespace", flow.destination->namespace_);
  attributes.add("leat.destination.workload", flow.destination->owner);
  attributes.add("leat.destination.pod", flow.destination->name);
  attributes.add("leat.destination.version", flow.destination->version);
}

void add_tags(const ObservedRequest& request, Attributes& attributes) {
  const Workload& pod = *request.flow->source;
  if (!pod.telemetry) return;
  for (const v1::TraceTag& tag : pod.telemetry->tags) {
    const auto value = tag.has_header() ? request.request_fields.get(tag.header()) : std::nullopt;
    attributes.add(tag.name(), value ? *value : tag.has_literal() ? tag.literal() : tag.fallback());
  }
}

}  // namespace

otlp::Span request_span(const ObservedRequest& request) {
  const RequestTrace& trace = *request.trace;
  otlp::Span span;
  span.set_trace_id(bytes_of(trace.trace.high) + bytes_of(trace.trace.low));
  span.set_span_id(bytes_of(trace.span));
  if (trace.incoming.span != 0) span.set_parent_span_id(bytes_of(trace.incoming.span));
  span.set_name(name_of(request));
  span.set_kind(otlp::Span::SPAN_KIND_CLIENT);
  const auto started = std::chrono::duration_cast<std::chrono::nanoseconds>(request.started.time_since_epoch());
  span.set_start_time_unix_nano(static_cast<uint64_t>(started.count()));
  span.set_end_time_unix_nano(static_cast<uint64_t>((started + request.took).count()));
  span.set_flags(trace.incoming.span != 0 ? 0x301 : 0x101);

  Attributes attributes(span);
  add_http(request, attributes);
  add_call(request, attributes);
  add_server(request, attributes);
  add_mesh(request, attributes);
  add_tags(request, attributes);
  const bool call_failed = request.call.grpc && request.call.status.value_or(0) != 0;
  const bool failed = request.code == 0 || request.code >= 400 || request.flags != ResponseFlag::kNone || call_failed;
  if (failed) {
    span.mutable_status()->set_code(otlp::Status::STATUS_CODE_ERROR);
    attributes.add("error.type", request.reason != Reason::kNone ? std::string(name(request.reason))
                                 : call_failed                   ? std::to_string(*request.call.status)
                                 : request.code > 0              ? std::to_string(request.code)
                                                                 : std::string("no_response"));
  }
  return span;
}

}  // namespace leat::proxy
