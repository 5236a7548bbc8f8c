#include "cli/views.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/text.h"
#include "cli/units.h"
#include "common/exposition.h"

namespace leat::cli {
namespace {

template <typename Item, typename Key>
std::vector<Item> sorted(const google::protobuf::RepeatedPtrField<Item>& items, Key key) {
  std::vector<Item> all(items.begin(), items.end());
  std::ranges::sort(all, {}, key);
  return all;
}

std::vector<std::string> addresses_of(const google::protobuf::RepeatedPtrField<std::string>& wires) {
  std::vector<std::string> texts;
  for (const std::string& wire : wires) texts.push_back(address_text(wire));
  return texts;
}

// In the order of their keys: a protobuf map has none.
template <typename Map>
std::map<typename Map::key_type, typename Map::mapped_type> ordered(const Map& map) {
  return {map.begin(), map.end()};
}

std::string joined(const std::vector<std::string>& words, std::string_view between = ",") {
  return words.empty() ? "-" : fmt::format("{}", fmt::join(words, between));
}

void add_cells(Row& row, std::vector<Cell> cells) { row.cells.insert(row.cells.end(), cells.begin(), cells.end()); }

// ---- pods

std::string modes_text(const v1::Workload& workload) {
  std::string text(mtls_text(workload.mtls()));
  for (const auto& [port, mode] : ordered(workload.port_mtls())) text += fmt::format(",{}={}", port, mtls_text(mode));
  return text;
}

Json pod_json(const v1::PodStatus& status) {
  const v1::Workload& workload = status.workload();
  Json modes = Json::object();
  for (const auto& [port, mode] : ordered(workload.port_mtls())) modes[std::to_string(port)] = mtls_text(mode);
  return {{"namespace", workload.namespace_()},
          {"name", workload.name()},
          {"uid", workload.uid()},
          {"node", workload.node()},
          {"zone", workload.zone()},
          {"serviceAccount", workload.service_account()},
          {"owner", workload.owner()},
          {"addresses", addresses_of(workload.addresses())},
          {"labels", ordered(workload.labels())},
          {"ready", workload.ready()},
          {"terminating", workload.terminating()},
          {"enrolment", status.enrolment()},
          {"reason", status.reason()},
          {"sinceMs", status.since_ms()},
          {"mtls", mtls_text(workload.mtls())},
          {"portMtls", std::move(modes)},
          {"outboundFlows", status.outbound_flows()},
          {"inboundFlows", status.inbound_flows()},
          {"podIndex", workload.pod_index()},
          {"netnsCookie", status.netns_cookie()}};
}

Colour enrolment_colour(const std::string& enrolment) {
  if (enrolment == "enrolled") return Colour::kGreen;
  return enrolment == "failed" ? Colour::kRed : Colour::kFaint;
}

// ---- services

using Workloads = std::map<std::string, const v1::Workload*>;

const v1::TrafficPolicy* policy_of(const v1::Service& service, const v1::ServicePort& port) {
  const auto index = static_cast<int>(port.policy());
  return index > 0 && index <= service.policies_size() ? &service.policies(index - 1) : nullptr;
}

// Of all ports, each once.
std::string balancing_of(const v1::Service& service) {
  std::vector<std::string> texts;
  for (const auto& port : service.ports()) {
    std::string text = policy_text(policy_of(service, port));
    if (std::ranges::find(texts, text) == texts.end()) texts.push_back(std::move(text));
  }
  return fmt::format("{}", fmt::join(texts, "; "));
}

Json ports_json(const v1::Service& service) {
  Json ports = Json::array();
  for (const auto& port : service.ports())
    ports.push_back({{"port", port.port()},
                     {"name", port.name()},
                     {"appProtocol", port.app_protocol()},
                     {"protocol", protocol_text(port.protocol())},
                     {"loadBalancing", policy_text(policy_of(service, port))}});
  return ports;
}

// DestinationRules that are not for all clients: the first one that a client is of holds for it.
Json client_rules_json(const v1::Service& service) {
  Json rules = Json::array();
  for (const v1::ClientRule& rule : service.client_rules())
    rules.push_back({{"rule", rule.rule()}, {"clients", clients_text(rule)}, {"ports", ports_json(rule.service())}});
  return rules;
}

Json service_json(const v1::Service& service, const Workloads& workloads,
                  const std::vector<const v1::Alias*>& aliases) {
  Json endpoints = Json::array();
  for (const auto& endpoint : service.endpoints()) {
    const auto workload = workloads.find(endpoint.workload_uid());
    const v1::Workload* pod = workload == workloads.end() ? nullptr : workload->second;
    Json targets = Json::object();
    for (const auto& port : endpoint.ports()) targets[std::to_string(port.service_port())] = port.target_port();
    endpoints.push_back({{"address", address_text(endpoint.address())},
                         {"pod", pod == nullptr ? "" : pod->namespace_() + "/" + pod->name()},
                         {"node", pod == nullptr ? "" : pod->node()},
                         {"captured", pod != nullptr && pod->captured()},
                         {"local", pod != nullptr && pod->local()},
                         {"ready", endpoint.ready()},
                         {"targetPorts", std::move(targets)}});
  }
  Json ids = Json::array();
  for (const v1::Alias* alias : aliases) {
    ids.push_back(
        {{"id", alias->id()}, {"address", address_text(alias->address())}, {"remoteOnly", alias->remote_only()}});
  }
  return {{"namespace", service.namespace_()},
          {"name", service.name()},
          {"vips", addresses_of(service.vips())},
          {"headless", service.headless()},
          {"ports", ports_json(service)},
          {"endpoints", std::move(endpoints)},
          {"aliases", std::move(ids)},
          {"clientRules", client_rules_json(service)}};
}

// A pod with two addresses is two endpoints of the model, and one for a person.
struct Replica {
  std::string name;
  bool ready = false;
  bool local = false;
};

std::map<std::string, Replica> replicas_of(const v1::Service& service, const Workloads& workloads) {
  std::map<std::string, Replica> replicas;  // by workload, or address where there is none
  for (const auto& endpoint : service.endpoints()) {
    const auto workload = workloads.find(endpoint.workload_uid());
    const bool is_pod = workload != workloads.end();
    Replica& replica = replicas[is_pod ? endpoint.workload_uid() : endpoint.address()];
    replica.name = is_pod ? workload->second->name() : address_text(endpoint.address());
    replica.ready |= endpoint.ready();
    replica.local |= is_pod && workload->second->local();
  }
  return replicas;
}

Row service_row(const v1::Service& service, const Workloads& workloads, bool wide) {
  size_t local = 0;
  std::vector<std::string> ready;
  const auto replicas = replicas_of(service, workloads);
  for (const auto& [key, replica] : replicas) {
    if (!replica.ready) continue;
    ready.push_back(replica.name);
    local += replica.local ? 1 : 0;
  }
  std::ranges::sort(ready);
  std::vector<std::string> ports;
  for (const auto& port : service.ports()) ports.push_back(std::to_string(port.port()));
  Row row{{service.namespace_(), service.name(), service.headless() ? "None" : joined(addresses_of(service.vips())),
           joined(ports),
           Cell(fmt::format("{}/{}", ready.size(), replicas.size()), ready.empty() ? Colour::kRed : Colour::kNone),
           std::to_string(local), balancing_of(service)},
          ""};
  if (wide) add_cells(row, {joined(ready)});
  std::vector<std::string> rules;
  for (const v1::ClientRule& rule : service.client_rules())
    rules.push_back(
        fmt::format("{}: {}, by DestinationRule {}", clients_text(rule), balancing_of(rule.service()), rule.rule()));
  row.note = fmt::format("{}", fmt::join(rules, "; "));
  return row;
}

// A whole number without a fraction, as most counters are.
Json number(double value) {
  const auto whole = static_cast<int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

std::string value_text(const v1::Counter& counter) {
  if (!counter.has_histogram()) return fmt::format("{}", counter.value());
  return fmt::format("{} values, sum {}", Buckets(counter.histogram()).total, counter.histogram().sum());
}

Json counter_json(const v1::Counter& counter) {
  Json json = {{"name", counter.name()}, {"labels", ordered(counter.labels())}};
  if (!counter.has_histogram()) {
    json["value"] = number(counter.value());
    json["gauge"] = counter.gauge();
    return json;
  }
  const Buckets buckets(counter.histogram());
  Json listed = Json::array();
  for (const auto& [bound, count] : buckets.cumulative) listed.push_back({{"le", number(bound)}, {"count", count}});
  json["count"] = buckets.total;
  json["sum"] = number(counter.histogram().sum());
  json["buckets"] = std::move(listed);
  return json;
}

Colour status_colour(const std::string& status) {
  if (status == "ok" || status == "valid") return Colour::kGreen;
  return status == "warn" || status == "pending" ? Colour::kYellow : Colour::kRed;
}

std::string until(int64_t then_ms, int64_t now_ms) {
  if (then_ms == 0) return "-";
  return then_ms >= now_ms ? "in " + humanise_ms(then_ms - now_ms) : humanise_ms(now_ms - then_ms) + " ago";
}

}  // namespace

View pods_view(const v1::ApiReply& reply, bool wide, int64_t now_ms) {
  std::vector<std::string> header = {"NAMESPACE", "NAME", "ADDRESS", "ENROLMENT", "SINCE", "MTLS", "OUT", "IN"};
  if (wide) header.insert(header.end(), {"SERVICE ACCOUNT", "OWNER", "INDEX", "UID"});
  header.emplace_back("WHY");
  View view{Table(std::move(header)), Json::array()};
  const auto name_of = [](const v1::PodStatus& status) {
    return std::make_tuple(status.workload().namespace_(), status.workload().name());
  };
  for (const v1::PodStatus& status : sorted(reply.pods(), name_of)) {
    const v1::Workload& workload = status.workload();
    const bool captured = workload.pod_index() != UINT32_MAX;
    Row row{
        {workload.namespace_(), workload.name(), joined(addresses_of(workload.addresses())),
         Cell(status.enrolment(), enrolment_colour(status.enrolment())),
         status.since_ms() == 0 ? "-" : humanise_ms(now_ms - status.since_ms()), captured ? modes_text(workload) : "-",
         std::to_string(status.outbound_flows()), std::to_string(status.inbound_flows())},
        ""};
    if (wide)
      add_cells(row, {workload.service_account(), or_dash(workload.owner()),
                      captured ? std::to_string(workload.pod_index()) : "-", workload.uid()});
    add_cells(row, {status.reason()});
    view.table.add(std::move(row));
    view.list.push_back(pod_json(status));
  }
  return view;
}

View services_view(const v1::ApiReply& reply, bool wide, std::string_view ns) {
  const v1::Mesh& mesh = reply.mesh();
  Workloads workloads;
  for (const v1::Workload& workload : mesh.workloads()) workloads.emplace(workload.uid(), &workload);
  std::map<std::string, std::vector<const v1::Alias*>> aliases;
  for (const v1::Alias& alias : mesh.aliases()) aliases[alias.service()].push_back(&alias);

  std::vector<std::string> header = {"NAMESPACE", "NAME", "ADDRESS", "PORTS", "READY", "LOCAL", "BALANCING"};
  if (wide) header.emplace_back("ENDPOINTS");
  View view{Table(std::move(header)), Json::array()};
  for (const v1::Service& service : mesh.services()) {
    if (!ns.empty() && service.namespace_() != ns) continue;
    view.table.add(service_row(service, workloads, wide));
    view.list.push_back(service_json(service, workloads, aliases[service.namespace_() + "/" + service.name()]));
  }
  return view;
}

View certificates_view(const v1::ApiReply& reply, bool wide, int64_t now_ms) {
  std::vector<std::string> header = {"IDENTITY", "STATE", "EXPIRES", "RENEWED"};
  if (wide) header.insert(header.end(), {"VALID SINCE", "SERIAL"});
  View view{Table(std::move(header)), Json::array()};
  for (const v1::Certificate& certificate :
       sorted(reply.certificates(), [](const auto& one) { return one.identity(); })) {
    Row row{{certificate.identity(), Cell(certificate.state(), status_colour(certificate.state())),
             until(certificate.not_after_ms(), now_ms), until(certificate.renew_at_ms(), now_ms)},
            ""};
    if (wide) add_cells(row, {until(certificate.not_before_ms(), now_ms), or_dash(certificate.serial())});
    if (!certificate.last_error().empty())
      row.note =
          fmt::format("last error, {}: {}", until(certificate.last_error_ms(), now_ms), certificate.last_error());
    view.table.add(std::move(row));
    view.list.push_back({{"identity", certificate.identity()},
                         {"state", certificate.state()},
                         {"notBeforeMs", certificate.not_before_ms()},
                         {"notAfterMs", certificate.not_after_ms()},
                         {"renewAtMs", certificate.renew_at_ms()},
                         {"serial", certificate.serial()},
                         {"lastError", certificate.last_error()},
                         {"lastErrorMs", certificate.last_error_ms()}});
  }
  return view;
}

View check_view(const v1::ApiReply& reply) {
  View view{Table({}), Json::array()};
  for (const v1::CheckItem& item : reply.check()) {
    view.table.add({{item.area(), Cell(item.status(), status_colour(item.status())), item.text()},
                    item.cure().empty() ? "" : "cure: " + item.cure()});
    view.list.push_back(
        {{"area", item.area()}, {"status", item.status()}, {"text", item.text()}, {"cure", item.cure()}});
  }
  return view;
}

View counters_view(const v1::ApiReply& reply) {
  View view{Table({"NAME", "LABELS", "VALUE"}), Json::array()};
  const auto key_of = [](const v1::Counter& counter) {
    return std::make_pair(counter.name(), ordered(counter.labels()));
  };
  for (const v1::Counter& counter : sorted(reply.counters(), key_of)) {
    std::vector<std::string> labels;
    for (const auto& [name, value] : ordered(counter.labels())) labels.push_back(fmt::format("{}={}", name, value));
    view.table.add({{counter.name(), joined(labels), value_text(counter)}, ""});
    view.list.push_back(counter_json(counter));
  }
  return view;
}

View version_view(const v1::VersionInfo& agent) {
  View view{Table({}), Json::array()};
  view.list.push_back({{"leat", LEAT_VERSION},
                       {"agent", agent.agent()},
                       {"proxy", agent.proxy()},
                       {"proxyBackend", agent.proxy_backend()},
                       {"kernel", agent.kernel()},
                       {"node", agent.node()}});
  view.table.add({{"leat", LEAT_VERSION}, ""});
  if (!agent.agent().empty())
    view.table.add({{"agent", agent.agent() + (agent.node().empty() ? "" : " on " + agent.node())}, ""});
  if (!agent.proxy().empty())
    view.table.add({{"proxy", fmt::format("{} ({})", agent.proxy(), or_dash(agent.proxy_backend()))}, ""});
  if (!agent.kernel().empty()) view.table.add({{"kernel", agent.kernel()}, ""});
  return view;
}

}  // namespace leat::cli
