#include "userspace-proxy/telemetry/access_log.h"

#include "common/check.h"
#include "common/log.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/telemetry/log_line.h"

namespace leat::proxy {
namespace {

// What is pending is handed over before it grows beyond this.
constexpr size_t kHandOver = 64u << 10;

LogFormat format_of(const v1::AccessLog& log) {
  const bool own = !log.format().empty();
  auto format = log.json() ? LogFormat::json(own ? log.format() : kIstioLogJson)
                           : LogFormat::line(own ? log.format() : kIstioLogLine);
  if (format) return std::move(*format);
  // The agent has checked it: only one of another version comes here.
  log::warn("the access log's format: {}; the default one is used", format.error().message);
  format = log.json() ? LogFormat::json(kIstioLogJson) : LogFormat::line(kIstioLogLine);
  LEAT_CHECK(format.has_value(), "Istio's own format");
  return std::move(*format);
}

AccessFacts facts_of(const ObservedRequest& request) {
  return {.response_code = request.http ? std::optional<int64_t>(request.code) : std::nullopt,
          .response_size = static_cast<int64_t>(request.response_bytes),
          .request_size = static_cast<int64_t>(request.request_bytes),
          .duration_ms = std::chrono::duration_cast<std::chrono::milliseconds>(request.took).count(),
          .mtls = request.flow->security == Security::kMtls,
          .http = request.http,
          .method = request.method,
          .path = request.path,
          .host = request.authority,
          .protocol = request.protocol,
          .header = request.request_fields.find,
          .request = request.request_fields.fields};
}

// Envoy's word for the end of a connection.
ResponseFlag flag_of(const FlowFacts& flow) {
  if (flow.reason == Reason::kNoEndpoint) return ResponseFlag::kNoHealthyUpstream;
  return flow.verdict == Verdict::kFailed || flow.verdict == Verdict::kDenied ? ResponseFlag::kConnectFailure
                                                                              : ResponseFlag::kNone;
}

}  // namespace

AccessLog::AccessLog(ring::Loop& loop, LogWriter* writer)
    : loop_(loop), writer_(writer), timer_(loop.timers(), [this] { hand_over(); }), format_(format_of({})) {}

AccessLog::~AccessLog() { hand_over(); }

void AccessLog::configure(const v1::MeshSettings& settings) {
  const v1::AccessLog& log = settings.access_log();
  on_ = log.on() && writer_ != nullptr;
  rate_ = log.lines_a_second() > 0 ? log.lines_a_second() : limits::kLogLinesASecond;
  format_ = format_of(log);
}

void AccessLog::write(const ObservedRequest& request, const Workload* pod) {
  const bool filtered = pod != nullptr && pod->telemetry && pod->telemetry->filter;
  if (filtered && !pod->telemetry->filter->admits(facts_of(request))) return;
  if (!may_write()) return;
  if (pending_.empty()) timer_.arm(loop_.now() + limits::kLogDelay);
  append_log_line(format_, request, pending_);
  ++pending_lines_;
  if (pending_.size() >= kHandOver) hand_over();
}

void AccessLog::write(const FlowFacts& flow) {
  if (flow.protocol != SeenProtocol::kTcp) return;
  const Workload* pod = flow.direction == v1::FLOW_OUTBOUND ? flow.source.get() : flow.destination.get();
  if (!wants(pod)) return;
  const auto now = std::chrono::system_clock::now();
  const std::chrono::system_clock::time_point opened{std::chrono::milliseconds(flow.opened_ms)};
  write(ObservedRequest{.flow = &flow,
                        .started = opened,
                        .took = now - opened,
                        .request_bytes = flow.bytes.a_to_b,
                        .response_bytes = flow.bytes.b_to_a,
                        .flags = flag_of(flow),
                        .reason = flow.reason},
        pod);
}

bool AccessLog::may_write() {
  if (loop_.now() - second_ >= std::chrono::seconds(1)) {
    second_ = loop_.now();
    in_second_ = 0;
  }
  if (in_second_ < rate_) return ++in_second_ > 0;
  ++over_rate_;
  return false;
}

void AccessLog::hand_over() {
  timer_.cancel();
  if (pending_.empty()) return;
  const bool taken = writer_->write(std::move(pending_));
  (taken ? lines_ : unread_) += pending_lines_;
  pending_.clear();
  pending_lines_ = 0;
}

}  // namespace leat::proxy
