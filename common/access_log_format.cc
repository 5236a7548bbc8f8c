#include "common/access_log_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

namespace leat {

const std::string_view kIstioLogLine =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" "
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" "
    "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% "
    "%ROUTE_NAME%\n";

const std::string_view kIstioLogJson = R"({
  "start_time": "%START_TIME%",
  "method": "%REQ(:METHOD)%",
  "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
  "protocol": "%PROTOCOL%",
  "response_code": "%RESPONSE_CODE%",
  "response_flags": "%RESPONSE_FLAGS%",
  "response_code_details": "%RESPONSE_CODE_DETAILS%",
  "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
  "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
  "bytes_received": "%BYTES_RECEIVED%",
  "bytes_sent": "%BYTES_SENT%",
  "duration": "%DURATION%",
  "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
  "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
  "user_agent": "%REQ(USER-AGENT)%",
  "request_id": "%REQ(X-REQUEST-ID)%",
  "authority": "%REQ(:AUTHORITY)%",
  "upstream_host": "%UPSTREAM_HOST%",
  "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
  "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
  "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
  "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
  "requested_server_name": "%REQUESTED_SERVER_NAME%",
  "route_name": "%ROUTE_NAME%"
})";

namespace {

constexpr std::pair<std::string_view, LogOperator> kPlain[] = {
    {"PROTOCOL", LogOperator::kProtocol},
    {"RESPONSE_CODE", LogOperator::kResponseCode},
    {"RESPONSE_FLAGS", LogOperator::kResponseFlags},
    {"RESPONSE_CODE_DETAILS", LogOperator::kResponseCodeDetails},
    {"CONNECTION_TERMINATION_DETAILS", LogOperator::kConnectionTerminationDetails},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", LogOperator::kUpstreamTransportFailureReason},
    {"BYTES_RECEIVED", LogOperator::kBytesReceived},
    {"BYTES_SENT", LogOperator::kBytesSent},
    {"DURATION", LogOperator::kDuration},
    {"UPSTREAM_REQUEST_ATTEMPT_COUNT", LogOperator::kAttempts},
    {"UPSTREAM_HOST", LogOperator::kUpstreamHost},
    {"UPSTREAM_CLUSTER", LogOperator::kUpstreamCluster},
    {"UPSTREAM_CLUSTER_RAW", LogOperator::kUpstreamCluster},
    {"UPSTREAM_LOCAL_ADDRESS", LogOperator::kUpstreamLocalAddress},
    {"UPSTREAM_PEER_URI_SAN", LogOperator::kUpstreamPeer},
    {"DOWNSTREAM_LOCAL_ADDRESS", LogOperator::kDownstreamLocalAddress},
    {"DOWNSTREAM_REMOTE_ADDRESS", LogOperator::kDownstreamRemoteAddress},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", LogOperator::kDownstreamRemoteIp},
    {"DOWNSTREAM_PEER_URI_SAN", LogOperator::kDownstreamPeer},
    {"REQUESTED_SERVER_NAME", LogOperator::kRequestedServerName},
    {"ROUTE_NAME", LogOperator::kRouteName},
    {"TRACE_ID", LogOperator::kTraceId},
    {"HOSTNAME", LogOperator::kHostname},
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  return out;
}

// What stands between two percent signs, as NAME, NAME(ARGUMENT) or NAME(ARGUMENT):LONGEST.
Result<LogPiece> read_operator(std::string_view name, std::optional<std::string_view> argument,
                               std::string_view longest) {
  LogPiece piece;
  if (!longest.empty()) {
    const auto [end, error] = std::from_chars(longest.begin(), longest.end(), piece.longest);
    if (error != std::errc() || end != longest.end())
      return fail(ErrorCode::kInvalid, "'{}' behind %{}%'s colon is no length", longest, name);
  }
  if (name == "START_TIME") {
    piece.op = LogOperator::kStartTime;
    piece.text = argument.value_or("");
    if (piece.text.find("%f") != std::string::npos || piece.text.find("%3f") != std::string::npos)
      return fail(ErrorCode::kInvalid, "%START_TIME% knows strftime's letters, and no fractions of a second");
    return piece;
  }
  if (name == "REQ" || name == "RESP") {
    if (!argument || argument->empty()) return fail(ErrorCode::kInvalid, "%{}% needs a header's name", name);
    piece.op = name == "REQ" ? LogOperator::kRequestHeader : LogOperator::kResponseHeader;
    const size_t other = argument->find('?');
    piece.text = lower(argument->substr(0, other));
    if (other != std::string_view::npos) piece.fallback = lower(argument->substr(other + 1));
    return piece;
  }
  const auto* const found = std::ranges::find(kPlain, name, &std::pair<std::string_view, LogOperator>::first);
  if (found == std::end(kPlain)) return fail(ErrorCode::kInvalid, "%{}% is no operator that Leat knows", name);
  if (argument) return fail(ErrorCode::kInvalid, "%{}% takes no argument", name);
  piece.op = found->second;
  return piece;
}

Result<std::vector<LogPiece>> read_pieces(std::string_view format) {
  std::vector<LogPiece> pieces;
  const auto add_literal = [&](std::string_view text) {
    if (text.empty()) return;
    if (pieces.empty() || pieces.back().op != LogOperator::kLiteral) pieces.emplace_back();
    pieces.back().text += text;
  };
  while (!format.empty()) {
    const size_t start = std::min(format.find('%'), format.size());
    add_literal(format.substr(0, start));
    format.remove_prefix(start);
    if (format.empty()) break;
    format.remove_prefix(1);
    if (format.starts_with('%')) {  // "%%"
      add_literal("%");
      format.remove_prefix(1);
      continue;
    }
    const size_t name_end = format.find_first_of("(%:");
    if (name_end == std::string_view::npos) return fail(ErrorCode::kInvalid, "'%{}' has no closing '%'", format);
    const std::string_view name = format.substr(0, name_end);
    format.remove_prefix(name_end);
    std::optional<std::string_view> argument;
    if (format.starts_with('(')) {
      const size_t close = format.find(')');  // may have percent signs in it
      if (close == std::string_view::npos) return fail(ErrorCode::kInvalid, "'%{}(' has no closing ')'", name);
      argument = format.substr(1, close - 1);
      format.remove_prefix(close + 1);
    }
    const size_t end = format.find('%');
    if (end == std::string_view::npos) return fail(ErrorCode::kInvalid, "'%{}' has no closing '%'", name);
    std::string_view longest = format.substr(0, end);
    if (!longest.empty() && longest[0] != ':')
      return fail(ErrorCode::kInvalid, "'{}' in %{}% is not understood", longest, name);
    if (!longest.empty()) longest.remove_prefix(1);
    format.remove_prefix(end + 1);
    LEAT_TRY(LogPiece piece, read_operator(name, argument, longest));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

}  // namespace

Result<LogFormat> LogFormat::line(std::string_view format) {
  LogFormat made;
  LEAT_TRY(std::vector<LogPiece> pieces, read_pieces(format));
  if (!format.ends_with('\n')) pieces.push_back({.text = "\n"});
  made.entries_.push_back({"", std::move(pieces)});
  return made;
}

Result<LogFormat> LogFormat::json(std::string_view object) {
  using Json = nlohmann::ordered_json;
  const Json parsed = Json::parse(object, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return fail(ErrorCode::kInvalid, "must be a mapping of names to formats");
  LogFormat made;
  made.json_ = true;
  for (const auto& [key, value] : parsed.items()) {
    if (!value.is_string()) return fail(ErrorCode::kInvalid, "the format of '{}' must be a text", key);
    LEAT_TRY(std::vector<LogPiece> pieces, read_pieces(value.get_ref<const std::string&>()));
    made.entries_.push_back({key, std::move(pieces)});
  }
  return made;
}

}  // namespace leat
