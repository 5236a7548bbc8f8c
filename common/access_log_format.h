// The format of access log lines, in Envoy's command operators ("%REQ(USER-AGENT)%"): checked by control/, filled in by
// the proxy. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace leat {

// Istio's own line and object, field by field.
extern const std::string_view kIstioLogLine;
extern const std::string_view kIstioLogJson;

enum class LogOperator : uint8_t {
  kLiteral,
  kStartTime,
  kRequestHeader,
  kResponseHeader,
  kProtocol,
  kResponseCode,
  kResponseFlags,
  kResponseCodeDetails,
  kConnectionTerminationDetails,
  kUpstreamTransportFailureReason,
  kBytesReceived,
  kBytesSent,
  kDuration,
  kAttempts,
  kUpstreamHost,
  kUpstreamCluster,
  kUpstreamLocalAddress,
  kUpstreamPeer,
  kDownstreamLocalAddress,
  kDownstreamRemoteAddress,
  kDownstreamRemoteIp,
  kDownstreamPeer,
  kRequestedServerName,
  kRouteName,
  kTraceId,
  kHostname,
};

struct LogPiece {
  LogOperator op = LogOperator::kLiteral;
  std::string text;      // a literal; a header's name in lower case; a time's strftime() format, empty: ISO 8601
  std::string fallback;  // the header to use where the first is missing
  size_t longest = SIZE_MAX;
};

class LogFormat {
 public:
  struct Entry {
    std::string key;  // of a JSON object; empty in a line
    std::vector<LogPiece> pieces;
  };

  // kInvalid with what is wrong and where. A line gets a line end if it has none.
  static Result<LogFormat> line(std::string_view format);
  // Of a JSON object whose values are formats, in its order.
  static Result<LogFormat> json(std::string_view object);

  [[nodiscard]] bool is_json() const { return json_; }
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
  bool json_ = false;
};

}  // namespace leat
