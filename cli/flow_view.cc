#include "cli/flow_view.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "cli/text.h"
#include "cli/units.h"

namespace leat::cli {
namespace {

std::string_view path_text(v1::FlowPath path) {
  switch (path) {
    case v1::PATH_UNTOUCHED:
      return "untouched";
    case v1::PATH_DIRECT:
      return "direct";
    case v1::PATH_PROXY:
      return "proxy";
    case v1::PATH_HBONE:
      return "hbone";
    default:
      return "unknown";
  }
}

std::string_view direction_text(v1::FlowDirection direction) {
  return direction == v1::FLOW_INBOUND ? "inbound" : "outbound";
}

std::string source_text(const v1::Flow& flow) {
  return flow.source_pod().empty() ? address_text(flow.source_address())
                                   : flow.source_namespace() + "/" + flow.source_pod();
}

// "shop/backend:8080 → backend-v1-1": what was asked for, and who it became.
std::string destination_text(const v1::Flow& flow) {
  const uint32_t port = flow.requested_port() != 0 ? flow.requested_port() : flow.destination_port();
  const std::string pod =
      flow.destination_pod().empty() ? "" : flow.destination_namespace() + "/" + flow.destination_pod();
  if (flow.destination_service().empty())
    return pod.empty() ? endpoint_text(flow.destination_address(), port) : fmt::format("{}:{}", pod, port);
  const std::string service = fmt::format("{}:{}", flow.destination_service(), port);
  if (pod.empty()) return service;
  const bool same_namespace = flow.destination_service().starts_with(flow.destination_namespace() + "/");
  return fmt::format("{} → {}", service, same_namespace ? flow.destination_pod() : pod);
}

std::string security_text(const v1::Flow& flow) {
  const std::string identity = short_identity(flow.peer_identity());
  const std::string security = or_dash(flow.security());
  return identity.empty() ? security : security + " " + identity;
}

bool went_well(const v1::Flow& flow) { return flow.verdict() == "open" || flow.verdict() == "ok"; }

Cell state_cell(const v1::Flow& flow) {
  if (flow.path() == v1::PATH_UNTOUCHED) return {flow.reason().empty() ? "untouched" : flow.reason(), Colour::kFaint};
  if (flow.verdict() == "ok") return {"closed", Colour::kFaint};
  if (went_well(flow)) return {flow.verdict(), Colour::kGreen};
  return {flow.reason().empty() ? flow.verdict() : fmt::format("{}: {}", flow.verdict(), flow.reason()), Colour::kRed};
}

std::string worker_text(const v1::Flow& flow) { return flow.worker() < 0 ? "kernel" : std::to_string(flow.worker()); }

// So many so far, and of those not answered yet: "301, 4 open".
std::string requests_cell(const v1::Flow& flow) {
  if (flow.requests() == 0) return "-";
  if (flow.requests_open() == 0) return std::to_string(flow.requests());
  return fmt::format("{}, {} open", flow.requests(), flow.requests_open());
}

Row flow_row(const v1::Flow& flow, bool wide, int64_t now_ms) {
  Row row;
  row.cells = {flow.node(),
               source_text(flow),
               destination_text(flow),
               path_text(flow.path()),
               security_text(flow),
               or_dash(flow.protocol()),
               requests_cell(flow),
               humanise_bytes(flow.bytes_sent()),
               humanise_bytes(flow.bytes_received()),
               flow.opened_ms() == 0 ? "-" : humanise_ms(now_ms - flow.opened_ms()),
               state_cell(flow)};
  if (wide) {
    const std::vector<Cell> more = {direction_text(flow.direction()),
                                    endpoint_text(flow.source_address(), flow.source_port()),
                                    endpoint_text(flow.requested_address(), flow.requested_port()),
                                    endpoint_text(flow.destination_address(), flow.destination_port()),
                                    or_dash(flow.peer_identity()),
                                    worker_text(flow),
                                    std::to_string(flow.attempts())};
    row.cells.insert(row.cells.end(), more.begin(), more.end());
  }
  if (!flow.cure().empty()) row.note = "cure: " + flow.cure();
  return row;
}

bool is_pod(const std::string& wanted, const std::string& ns, const std::string& name) {
  return wanted.find('/') == std::string::npos ? wanted == name : wanted == ns + "/" + name;
}

}  // namespace

bool FlowFilter::matches(const v1::Flow& flow) const {
  if (!ns.empty() && ns != flow.source_namespace() && ns != flow.destination_namespace() &&
      !flow.destination_service().starts_with(ns + "/")) {
    return false;
  }
  if (!pod.empty() && !is_pod(pod, flow.source_namespace(), flow.source_pod()) &&
      !is_pod(pod, flow.destination_namespace(), flow.destination_pod())) {
    return false;
  }
  return !closed_after_ms || flow.closed_ms() == 0 || flow.closed_ms() >= *closed_after_ms;
}

void sort_flows(std::vector<v1::Flow>& flows) {
  std::ranges::sort(flows, {}, [](const v1::Flow& flow) {
    return std::make_tuple(flow.opened_ms(), std::string_view(flow.node()), flow.direction(), flow.path(), flow.id());
  });
}

Table flow_table(const std::vector<v1::Flow>& flows, bool wide, int64_t now_ms) {
  std::vector<std::string> header = {"NODE", "SOURCE", "DESTINATION", "PATH", "SECURITY", "PROTO",
                                     "REQS", "SENT",   "RECEIVED",    "AGE",  "STATE"};
  if (wide) header.insert(header.end(), {"DIRECTION", "FROM", "ASKED FOR", "TO", "IDENTITY", "WORKER", "TRIED"});
  Table table(std::move(header));
  for (const v1::Flow& flow : flows) table.add(flow_row(flow, wide, now_ms));
  return table;
}

Json flow_json(const v1::Flow& flow) {
  return {{"id", flow.id()},
          {"node", flow.node()},
          {"direction", direction_text(flow.direction())},
          {"path", path_text(flow.path())},
          {"sourceNamespace", flow.source_namespace()},
          {"sourcePod", flow.source_pod()},
          {"sourceAddress", address_text(flow.source_address())},
          {"sourcePort", flow.source_port()},
          {"destinationService", flow.destination_service()},
          {"destinationNamespace", flow.destination_namespace()},
          {"destinationPod", flow.destination_pod()},
          {"destinationAddress", address_text(flow.destination_address())},
          {"destinationPort", flow.destination_port()},
          {"requestedAddress", address_text(flow.requested_address())},
          {"requestedPort", flow.requested_port()},
          {"security", flow.security()},
          {"peerIdentity", flow.peer_identity()},
          {"protocol", flow.protocol()},
          {"requests", flow.requests()},
          {"requestsOpen", flow.requests_open()},
          {"bytesSent", flow.bytes_sent()},
          {"bytesReceived", flow.bytes_received()},
          {"openedMs", flow.opened_ms()},
          {"closedMs", flow.closed_ms()},
          {"worker", flow.worker()},
          {"attempts", flow.attempts()},
          {"verdict", flow.verdict()},
          {"reason", flow.reason()},
          {"cure", flow.cure()}};
}

Json flows_json(const std::vector<v1::Flow>& flows) {
  Json list = Json::array();
  for (const v1::Flow& flow : flows) list.push_back(flow_json(flow));
  return list;
}

}  // namespace leat::cli
