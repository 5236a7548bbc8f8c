#include "control/service_units.h"

#include <algorithm>
#include <set>
#include <span>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/connection_routes.h"
#include "control/direct_services.h"
#include "control/findings.h"
#include "control/pass_through.h"
#include "control/service_policies.h"

namespace leat::control {
namespace {

void report_slices(const Name& service, std::span<const std::shared_ptr<const EndpointSlice>> slices,
                   Findings& findings) {
  for (const auto& slice : slices) {
    findings.push_back(finding_on(Severity::kWarning, *slice, "metadata.labels[kubernetes.io/service-name]",
                                  fmt::format("there is no Service {}", service.text())));
  }
}

// What the Service itself says.
v1::Service model_of(const Service& service) {
  v1::Service model;
  model.set_namespace_(service.meta.name.ns);
  model.set_name(service.meta.name.name);
  model.set_headless(service.headless);
  model.set_external(service.external);
  if (service.visible_to) model.mutable_visible_to()->Assign(service.visible_to->begin(), service.visible_to->end());
  for (const ServicePortSpec& port : service.ports) {
    v1::ServicePort& entry = *model.add_ports();
    entry.set_port(port.port);
    entry.set_name(port.name);
    entry.set_app_protocol(port.app_protocol);
  }
  return model;
}

void add_endpoints(const ServiceEndpoints& endpoints, v1::Service& model) {
  for (const auto& [address, endpoint] : endpoints) {
    v1::Endpoint& entry = *model.add_endpoints();
    entry.set_address(address.wire());
    if (endpoint.pod != nullptr) entry.set_workload_uid(endpoint.pod->uid());
    entry.set_ready(endpoint.ready);
    entry.set_weight(endpoint.weight);
    for (const auto& [service_port, target_port] : endpoint.ports) {
      v1::EndpointPort& port = *entry.add_ports();
      port.set_service_port(service_port);
      port.set_target_port(target_port);
    }
  }
}

}  // namespace

ServiceUnits::Unit& ServiceUnits::unit_of(const Name& name) {
  Unit& unit = units_[name];
  if (unit.part == Reads::kNobody) {
    unit.part = reads_.add();
    names_by_part_.emplace(unit.part, name);
  }
  return unit;
}

void ServiceUnits::make_all_dirty() {
  for (const auto& [name, unit] : units_) dirty_.add(unit.part);
}

void ServiceUnits::forget_aliases() {
  for (auto& [name, unit] : units_) unit.held.clear();
}

void ServiceUnits::update(bool everything) {
  if (everything) {
    claims_.clear();
    for (auto& [name, unit] : units_) unit.vips.clear();
    for (const auto& [name, service] : tables_.objects().all<Service>()) unit_of(name);
    for (const auto& [name, slices] : tables_.slices().all()) unit_of(name);
    for (const auto& external : tables_.registry().externals()) unit_of(external.service.meta.name);
    make_all_dirty();
  }
  // A Service that claims or leaves an address makes others dirty, so look again.
  for (auto names = dirty_units(); !names.empty(); names = dirty_units()) {
    for (const auto& [external, name] : names) {
      dirty_.remove(units_.at(name).part);
      make_unit(name);
    }
  }
}

std::vector<DirectService> ServiceUnits::direct_services() const {
  std::vector<DirectService> services;
  for (const auto& [name, unit] : units_) services.insert(services.end(), unit.direct.begin(), unit.direct.end());
  std::ranges::sort(services, {}, [](const DirectService& direct) { return std::pair(direct.alias_id, direct.port); });
  return services;
}

// In the order of their claims, so that ids are handed out in that order.
AddressClaims::Claimants ServiceUnits::dirty_units() const {
  AddressClaims::Claimants names;
  for (const Reads::Part part : dirty_.all()) {
    const auto name = names_by_part_.find(part);
    if (name != names_by_part_.end()) names.emplace(is_external(name->second), name->second);
  }
  return names;
}

bool ServiceUnits::is_external(const Name& name) const {
  return tables_.objects().find<Service>(name) == nullptr && tables_.registry().external(name) != nullptr;
}

void ServiceUnits::make_unit(const Name& name) {
  Unit& unit = units_.at(name);
  const View& view = tables_.view();
  tables_.pods().forget_selection(name.ns, unit.part);
  const Reads::Scope scope(reads_, unit.part);
  for (const AliasKey& key : std::exchange(unit.held, {})) aliases_.release(key);
  direct_changed_ |= !std::exchange(unit.direct, {}).empty();
  Findings findings;
  const auto* service = view.find<Service>(name);
  const auto* external = tables_.registry().external(name);
  const auto slices = tables_.slices().of(name, view);
  bool in_mesh = false;
  if (service != nullptr) {
    in_mesh = make_service(*service, unit, findings);
  } else if (external != nullptr) {
    ServiceEndpoints endpoints = tables_.registry().endpoints_of(*external, tables_.pods(), findings);
    claim(external->service, /*external=*/true, unit);
    add_service(external->service, std::move(endpoints), /*reached=*/true, unit, findings);
    in_mesh = true;
  } else {
    claim({.meta = {.name = name}}, false, unit);
  }
  if (service == nullptr) report_slices(name, slices, findings);
  if (!in_mesh) store_.remove_service(name);
  findings_.put("service " + name.text(), std::move(findings));
  if (service != nullptr || external != nullptr || !slices.empty()) return;
  reads_.remove(unit.part);
  names_by_part_.erase(unit.part);
  units_.erase(name);
}

bool ServiceUnits::make_service(const Service& service, Unit& unit, Findings& findings) {
  const Name& name = service.meta.name;
  const View& view = tables_.view();
  if (service.external_name || service.ports.empty()) {
    claim({.meta = {.name = name}}, false, unit);
    return false;
  }
  ServiceEndpoints endpoints = endpoints_of(service, tables_.slices(), tables_.pods(), view, findings);
  const bool in_mesh = std::ranges::any_of(endpoints, [this](const auto& entry) {
    return entry.second.pod != nullptr && node_pods_.is_captured(*entry.second.pod);
  });
  // Requests to a routed Service are the proxy's work wherever its endpoints are. What a route leads to must be known
  // too, and stays out of the way of who connects to it by itself.
  const bool reached = in_mesh || is_routed(service);
  const bool led_to = tables_.routing().leads_to(name) || tables_.gateway_routing().leads_to(name, view);
  claim(reached ? service : Service{.meta = {.name = name}}, false, unit);
  if (!reached && !led_to && !takes_spans(name)) return false;
  add_service(service, std::move(endpoints), reached, unit, findings);
  return true;
}

bool ServiceUnits::is_routed(const Service& service) const {
  return tables_.routing().routes(service) || tables_.gateway_routing().routes(service, tables_.view());
}

bool ServiceUnits::takes_spans(const Name& name) const {
  std::string_view collector = store_.settings().tracing().otlp_endpoint();
  collector.remove_prefix(std::min(collector.find("//") + 2, collector.size()));
  const std::string host = fmt::format("{}.{}", name.name, name.ns);
  return collector.starts_with(host) && collector.substr(host.size()).find_first_of(".:") == 0;
}

void ServiceUnits::add_service(const Service& service, ServiceEndpoints endpoints, bool reached, Unit& unit,
                               Findings& findings) {
  const View& view = tables_.view();
  v1::Service model = model_of(service);
  tables_.routing().add_tables(service, model, findings);
  tables_.gateway_routing().add_tables(service, view, model, findings);
  set_protocols(service, tables_.routing().routes_http(service) || tables_.gateway_routing().routes(service, view),
                is_shared(service), model);
  const ScopedRules rules = tables_.rules().of(service.meta.name, view);
  for (const auto& [rule, clients] : rules) {
    if (clients.is_everybody()) continue;
    v1::ClientRule& entry = *model.add_client_rules();
    entry.mutable_namespaces()->Assign(clients.namespaces->begin(), clients.namespaces->end());
    entry.mutable_labels()->insert(clients.labels.begin(), clients.labels.end());
    entry.set_rule(rule->meta.name.text());
    *entry.mutable_service()->mutable_ports() = model.ports();
    ServiceEndpoints own = endpoints;
    apply_rule(service, rule, own, *entry.mutable_service(), findings);
  }
  apply_rule(service, for_everybody(rules), endpoints, model, findings);
  if (reached) add_vips(service, endpoints, model, unit, findings);
  store_.put(model);
}

void ServiceUnits::apply_rule(const Service& service, const DestinationRule* rule, ServiceEndpoints& endpoints,
                              v1::Service& model, Findings& findings) const {
  pass_through(service, rule, endpoints);
  add_endpoints(endpoints, model);
  if (rule != nullptr) add_subsets(*rule, service.meta.name, endpoints, model, findings);
  add_policies(service, rule, tables_.view(), endpoints, tables_.places(), model, findings);
}

// An address of several hosts has one alias, which is the first one's.
void ServiceUnits::add_vips(const Service& service, const ServiceEndpoints& endpoints, v1::Service& model, Unit& unit,
                            Findings& findings) {
  const auto slot_of = [this](const LivePod& live) { return node_pods_.slot_of(live); };
  std::set<IpAddress> seen;
  for (const IpAddress& vip : service.vips) {
    if (!may_have_vip(service, vip, seen.insert(vip).second, findings)) continue;
    model.add_vips(vip.wire());
    if (claims_.owner(vip).second != service.meta.name) continue;
    std::vector<std::string> names;
    for (const Name& name : claims_.named_by(vip)) names.push_back(name.text());
    const auto id = hold({vip, false}, AliasTable::Use::kService, fmt::format("{}", fmt::join(names, " ")), service,
                         unit, findings);
    if (!id || store_.settings().same_node() != v1::SAME_NODE_DIRECT || service.visible_to) continue;
    const auto hold_remote = [&] {
      return hold({vip, true}, AliasTable::Use::kRemoteOnly, service.meta.name.text(), service, unit, findings);
    };
    for (DirectService& direct : control::direct_services(model, vip, *id, endpoints, slot_of, hold_remote)) {
      unit.direct.push_back(std::move(direct));
      direct_changed_ = true;
    }
  }
}

bool ServiceUnits::is_shared(const Service& service) const {
  return service.external &&
         std::ranges::any_of(service.vips, [this](const IpAddress& vip) { return tables_.registry().is_shared(vip); });
}

void ServiceUnits::claim(const Service& service, bool external, Unit& unit) {
  std::set<IpAddress> after(service.vips.begin(), service.vips.end());
  for (const Name& other : claims_.change({external, service.meta.name}, unit.vips, after))
    dirty_.add(units_.at(other).part);
  unit.vips = std::move(after);
}

bool ServiceUnits::may_have_vip(const Service& service, const IpAddress& vip, bool first, Findings& findings) const {
  const auto refuse = [&](std::string_view kind, const Name& owner) {
    findings.push_back(
        finding_on(Severity::kError, service, "spec.clusterIP",
                   fmt::format("{} has the address {} already and keeps it", describe(kind, owner), vip.text())));
    return false;
  };
  if (const LivePod* pod = tables_.pods().by_address(vip)) return refuse(Pod::kKind, pod->pod->meta.name);
  const auto& [external, owner] = claims_.owner(vip);
  const bool may = owner == service.meta.name || (external && service.external);
  return (may && first) || refuse(Service::kKind, owner);
}

// Nothing where the book has no id left.
std::optional<uint32_t> ServiceUnits::hold(const AliasKey& key, AliasTable::Use use, const std::string& target,
                                           const Service& service, Unit& unit, Findings& findings) {
  const auto id = aliases_.hold(key, use, PodSlots::kNone, target, service.meta.source, findings);
  if (id) unit.held.push_back(key);
  return id;
}

}  // namespace leat::control
