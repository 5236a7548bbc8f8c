#include "userspace-proxy/telemetry/log_line.h"

#include <ctime>
#include <optional>

#include <fmt/format.h>

namespace leat::proxy {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

std::string time_text(std::chrono::system_clock::time_point time, const std::string& format) {
  const auto ms = duration_cast<milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[128];
  const size_t size = std::strftime(text, sizeof text, format.empty() ? "%Y-%m-%dT%H:%M:%S" : format.c_str(), &parts);
  std::string out(text, size);
  return format.empty() ? fmt::format("{}.{:03}Z", out, ms % 1000) : out;
}

std::optional<std::string> header(const ObservedRequest& request, const HeadFields& fields, std::string_view name) {
  const auto given = [](std::string_view text) {
    return text.empty() ? std::nullopt : std::optional(std::string(text));
  };
  if (name == ":method") return given(request.method);
  if (name == ":path") return given(request.path);
  if (name == ":authority") return given(request.authority);
  if (name == ":scheme") return given(request.http ? "http" : "");
  if (name == ":status") return request.code > 0 ? std::optional(std::to_string(request.code)) : std::nullopt;
  const auto value = fields.get(name);
  return value ? std::optional(std::string(*value)) : std::nullopt;
}

std::optional<std::string> header(const LogPiece& piece, const ObservedRequest& request, const HeadFields& fields) {
  auto value = header(request, fields, piece.text);
  return value || piece.fallback.empty() ? value : header(request, fields, piece.fallback);
}

// Istio's name for where a request was sent.
std::optional<std::string> cluster(const ObservedRequest& request) {
  const FlowFacts& flow = *request.flow;
  if (flow.direction == v1::FLOW_INBOUND) return fmt::format("inbound|{}||", flow.server.port);
  if (!flow.service) return std::nullopt;
  return fmt::format("outbound|{}|{}|{}.{}.svc.cluster.local", flow.requested.port, request.subset, flow.service->name,
                     flow.service->namespace_);
}

std::string details(const ObservedRequest& request) {
  if (request.reason != Reason::kNone) return std::string(name(request.reason));
  return request.http && request.code > 0 ? "via_upstream" : "";
}

bool is_number(LogOperator op) {
  return op == LogOperator::kResponseCode || op == LogOperator::kBytesReceived || op == LogOperator::kBytesSent ||
         op == LogOperator::kDuration || op == LogOperator::kAttempts;
}

// Nothing: there is no such thing here.
std::optional<std::string> value_of(const LogPiece& piece, const ObservedRequest& request) {
  const FlowFacts& flow = *request.flow;
  const auto given = [](std::string text) { return text.empty() ? std::nullopt : std::optional(std::move(text)); };
  switch (piece.op) {
    case LogOperator::kLiteral:
      return piece.text;
    case LogOperator::kStartTime:
      return time_text(request.started, piece.text);
    case LogOperator::kRequestHeader:
      return header(piece, request, request.request_fields);
    case LogOperator::kResponseHeader:
      return header(piece, request, request.response_fields);
    case LogOperator::kProtocol:
      return given(std::string(request.protocol));
    case LogOperator::kResponseCode:
      return std::to_string(request.code);
    case LogOperator::kResponseFlags:
      return words(request.flags);
    case LogOperator::kResponseCodeDetails:
      return given(request.http ? details(request) : "");
    case LogOperator::kConnectionTerminationDetails:
      return given(request.http ? "" : details(request));
    case LogOperator::kUpstreamTransportFailureReason:
      return request.reason == Reason::kTlsFailed || request.reason == Reason::kUnexpectedIdentity ||
                     request.reason == Reason::kNoCertificate
                 ? given(std::string(sentence(request.reason)))
                 : std::nullopt;
    case LogOperator::kBytesReceived:
      return std::to_string(request.request_bytes);
    case LogOperator::kBytesSent:
      return std::to_string(request.response_bytes);
    case LogOperator::kDuration:
      return std::to_string(duration_cast<milliseconds>(request.took).count());
    case LogOperator::kAttempts:
      return std::to_string(flow.attempts);
    case LogOperator::kUpstreamHost:
      return flow.server.port != 0 && (request.tried() || flow.direction == v1::FLOW_INBOUND)
                 ? std::optional(flow.server.text())
                 : std::nullopt;
    case LogOperator::kUpstreamCluster:
      return cluster(request);
    case LogOperator::kUpstreamPeer:
      return given(flow.direction == v1::FLOW_OUTBOUND && flow.peer ? flow.peer->text : "");
    case LogOperator::kDownstreamPeer:
      return given(flow.direction == v1::FLOW_INBOUND && flow.peer ? flow.peer->text : "");
    case LogOperator::kDownstreamLocalAddress:
      return flow.requested.text();
    case LogOperator::kDownstreamRemoteAddress:
      return flow.client.text();
    case LogOperator::kDownstreamRemoteIp:
      return flow.client.ip.text();
    case LogOperator::kRouteName:
      return given(std::string(request.route));
    case LogOperator::kTraceId: {
      if (request.trace == nullptr) return std::nullopt;
      std::string id(32, '0');
      write_hex(request.trace->trace.low, write_hex(request.trace->trace.high, id.data()));
      return id;
    }
    case LogOperator::kHostname:
      return given(flow.direction == v1::FLOW_INBOUND ? (flow.destination ? flow.destination->name : "")
                                                      : (flow.source ? flow.source->name : ""));
    case LogOperator::kUpstreamLocalAddress:  // of a socket that several clients share
    case LogOperator::kRequestedServerName:   // TLS from applications is opaque
      break;
  }
  return std::nullopt;
}

void append_escaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
}

void append_value(const LogPiece& piece, const ObservedRequest& request, std::string& out) {
  const auto value = value_of(piece, request);
  if (!value) {
    out += '-';
  } else {
    append_escaped(std::string_view(*value).substr(0, piece.longest), out);
  }
}

void append_member(const LogFormat::Entry& entry, const ObservedRequest& request, std::string& out) {
  if (entry.pieces.size() == 1 && entry.pieces[0].op != LogOperator::kLiteral) {
    const LogPiece& piece = entry.pieces[0];
    const auto value = value_of(piece, request);
    if (!value) {
      out += "null";
      return;
    }
    if (is_number(piece.op)) {
      out += *value;
      return;
    }
  }
  out += '"';
  for (const LogPiece& piece : entry.pieces) append_value(piece, request, out);
  out += '"';
}

}  // namespace

void append_log_line(const LogFormat& format, const ObservedRequest& request, std::string& out) {
  if (!format.is_json()) {
    for (const LogPiece& piece : format.entries().front().pieces)
      piece.op == LogOperator::kLiteral ? out.append(piece.text) : (append_value(piece, request, out), out);
    return;
  }
  char before = '{';
  for (const LogFormat::Entry& entry : format.entries()) {
    out += before;
    out += '"';
    append_escaped(entry.key, out);
    out += "\":";
    append_member(entry, request, out);
    before = ',';
  }
  out += "}\n";
}

}  // namespace leat::proxy
