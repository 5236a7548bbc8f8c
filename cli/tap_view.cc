#include "cli/tap_view.h"

#include <algorithm>
#include <ctime>

#include <fmt/format.h>

#include "cli/text.h"
#include "cli/units.h"

namespace leat::cli {
namespace {

bool is_named(const std::string& wanted, const std::string& ns, const std::string& name) {
  return wanted.find('/') == std::string::npos ? wanted == name : wanted == ns + "/" + name;
}

std::string time_of_day(int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", parts.tm_hour, parts.tm_min, parts.tm_sec, unix_ms % 1000);
}

std::string destination_text(const v1::TappedRequest& request) {
  const std::string service = or_dash(request.service());
  if (request.destination_pod().empty()) return service;
  return fmt::format("{} → {}", service, request.destination_pod());
}

Cell status_cell(const v1::TappedRequest& request) {
  const std::string code = request.status() == 0 ? "-" : std::to_string(request.status());
  const std::string text = request.flags() == "-" ? code : fmt::format("{} {}", code, request.flags());
  if (request.status() == 0 || request.status() >= 500) return {text, Colour::kRed};
  return {text, request.status() >= 400 ? Colour::kYellow : Colour::kGreen};
}

std::string duration_text(uint64_t us) { return fmt::format("{:.1f} ms", static_cast<double>(us) / 1000); }

}  // namespace

bool is_status(const std::string& text) {
  return text.size() == 3 && text[0] >= '1' && text[0] <= '9' &&
         (text.substr(1) == "xx" || std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }));
}

bool TapFilter::matches(const v1::TappedRequest& request) const {
  const bool service_in_ns = request.service().starts_with(ns + "/");
  if (!ns.empty() && ns != request.source_namespace() && ns != request.destination_namespace() && !service_in_ns)
    return false;
  if (!pod.empty() && !is_named(pod, request.source_namespace(), request.source_pod()) &&
      !is_named(pod, request.destination_namespace(), request.destination_pod()))
    return false;
  if (!service.empty() && service != request.service() && !request.service().ends_with("/" + service)) return false;
  if (!method.empty() && method != request.method()) return false;
  if (!request.path().starts_with(path)) return false;
  const std::string code = std::to_string(request.status());
  return status.empty() || (status.ends_with("xx") ? status[0] == code[0] : status == code);
}

Table tap_table(const std::vector<v1::TappedRequest>& requests, bool wide) {
  std::vector<std::string> header = {"TIME", "SOURCE", "DESTINATION", "REQUEST", "STATUS", "TOOK", "SENT", "RECEIVED"};
  if (wide) header.insert(header.end(), {"HOST", "TO", "SECURITY", "TRIED", "TRACE", "REASON"});
  Table table(std::move(header));
  for (const v1::TappedRequest& request : requests) {
    Row row;
    row.cells = {time_of_day(request.started_ms()),
                 request.source_namespace() + "/" + request.source_pod(),
                 destination_text(request),
                 request.method().empty() ? "-" : fmt::format("{} {}", request.method(), request.path()),
                 status_cell(request),
                 duration_text(request.duration_us()),
                 humanise_bytes(request.request_bytes()),
                 humanise_bytes(request.response_bytes())};
    if (wide) {
      const std::vector<Cell> more = {
          or_dash(request.authority()), endpoint_text(request.destination_address(), request.destination_port()),
          or_dash(request.security()),  std::to_string(request.attempts()),
          or_dash(request.trace_id()),  or_dash(request.reason())};
      row.cells.insert(row.cells.end(), more.begin(), more.end());
    }
    table.add(std::move(row));
  }
  return table;
}

Json tap_json(const v1::TappedRequest& request) {
  return {{"sequence", request.sequence()},
          {"node", request.node()},
          {"startedMs", request.started_ms()},
          {"durationUs", request.duration_us()},
          {"method", request.method()},
          {"authority", request.authority()},
          {"path", request.path()},
          {"protocol", request.protocol()},
          {"status", request.status()},
          {"flags", request.flags()},
          {"sourceNamespace", request.source_namespace()},
          {"sourcePod", request.source_pod()},
          {"service", request.service()},
          {"subset", request.subset()},
          {"destinationNamespace", request.destination_namespace()},
          {"destinationPod", request.destination_pod()},
          {"destinationAddress", address_text(request.destination_address())},
          {"destinationPort", request.destination_port()},
          {"requestBytes", request.request_bytes()},
          {"responseBytes", request.response_bytes()},
          {"attempts", request.attempts()},
          {"security", request.security()},
          {"traceId", request.trace_id()},
          {"reason", request.reason()}};
}

}  // namespace leat::cli
