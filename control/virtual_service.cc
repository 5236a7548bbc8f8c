#include "control/virtual_service.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/delegation.h"
#include "control/protocol.h"

namespace leat::control {
namespace {

using Visibility = std::optional<std::vector<std::string>>;  // absent: all namespaces

// The namespaces of `table` that `earlier` holds for already; absent: all that there are.
Visibility overlap(const Visibility& table, const Visibility& earlier) {
  if (!earlier) return table;
  if (!table) return earlier;
  std::vector<std::string> both;
  std::ranges::set_intersection(*table, *earlier, std::back_inserter(both));
  return both;
}

bool hides_all_of(const Visibility& table, const Visibility& earlier) { return overlap(table, earlier) == table; }

// Why requests to a host can't be routed; empty: they can.
std::string obstacle(const Service* service) {
  if (service == nullptr) return "no Service has that name";
  const std::string name = describe(Service::kKind, service->meta.name);
  if (service->external_name || service->ports.empty()) return fmt::format("{} has no TCP port of its own", name);
  if (service->headless) return fmt::format("{} is headless, so its clients connect to pods", name);
  if (std::ranges::all_of(service->ports, [](const ServicePortSpec& port) {
        return protocol_of(declared_protocol(port), /*routed=*/true) == v1::PROTOCOL_TCP;
      }))
    return fmt::format("no port of {} is declared as HTTP, HTTP/2 or gRPC", name);
  return "";
}

}  // namespace

VirtualServices::VirtualServices(const ObjectSet& objects, const ServiceRegistry& services,
                                 const DestinationRules& rules, Findings& findings) {
  std::vector<const VirtualService*> all;
  for (const auto& [name, object] : objects.all<VirtualService>()) {
    if (object.in_mesh && !object.hosts.empty() && !object.http.empty()) all.push_back(&object);
  }
  std::ranges::sort(all, [](const auto* left, const auto* right) { return is_older(left->meta, right->meta); });
  for (const VirtualService* object : all) {
    routes_.push_back(compile_routes(*object, objects, services, rules, findings));
    add_hosts(*object, services, findings);
  }
  report_unused_delegates(objects, findings);
}

VirtualServices::Routes VirtualServices::compile_routes(const VirtualService& object, const ObjectSet& objects,
                                                        const ServiceRegistry& services, const DestinationRules& rules,
                                                        Findings& findings) {
  Routes routes;
  for (const HttpRoute& route : object.http) {
    if (route.delegate) {
      add_delegated(object, route, objects, services, rules, routes, findings);
    } else {
      *routes.Add() = compile_route(object, route, services, rules, findings);
    }
  }
  return routes;
}

v1::HttpRoute VirtualServices::compile_route(const VirtualService& object, const HttpRoute& route,
                                             const ServiceRegistry& services, const DestinationRules& rules,
                                             Findings& findings) {
  v1::HttpRoute compiled = route.actions;
  compiled.set_name(route.name);
  compiled.mutable_matches()->Assign(route.matches.begin(), route.matches.end());
  for (const RouteDestination& destination : route.destinations)
    *compiled.add_destinations() = compile_destination(object, destination, services, rules,
                                                       "requests that come here are answered with 503", findings);
  for (const MirrorSpec& spec : route.mirrors) {
    v1::Mirror& mirror = *compiled.add_mirrors();
    mirror.set_percent(spec.percent);
    *mirror.mutable_destination() =
        compile_destination(object, spec.to, services, rules, "nothing is mirrored", findings);
  }
  v1::Origin& origin = *compiled.mutable_origin();
  origin.set_kind(std::string(VirtualService::kKind));
  origin.set_namespace_(object.meta.name.ns);
  origin.set_name(object.meta.name.name);
  origin.set_file(object.meta.source.file);
  origin.set_line(route.place.line);
  return compiled;
}

void VirtualServices::add_delegated(const VirtualService& object, const HttpRoute& route, const ObjectSet& objects,
                                    const ServiceRegistry& services, const DestinationRules& rules, Routes& routes,
                                    Findings& findings) {
  const auto refuse = [&](const std::string& why) {
    findings.push_back(finding_at(Severity::kError, object, route.place, ".delegate",
                                  why + "; the entry is left out: the next one that matches holds"));
  };
  const auto* delegate = objects.find<VirtualService>(*route.delegate);
  const std::string name = describe(VirtualService::kKind, *route.delegate);
  if (delegate == nullptr) return refuse(fmt::format("there is no {}", name));
  delegates_.insert(*route.delegate);
  if (!delegate->hosts.empty()) return refuse(fmt::format("{} has hosts of its own", name));
  if (delegate->visible_to && !std::ranges::binary_search(*delegate->visible_to, object.meta.name.ns))
    return refuse(fmt::format("{} is not exported to this namespace", name));
  for (const HttpRoute& below : delegate->http) {
    const auto leave_out = [&](const std::string& why) {
      findings.push_back(finding_at(Severity::kError, *delegate, below.place, "", why + "; the entry is left out"));
    };
    if (below.delegate) {
      leave_out("a delegate can't delegate in its turn");
    } else if (const std::optional<HttpRoute> merged = merge_delegate(route, below)) {
      *routes.Add() = compile_route(*delegate, *merged, services, rules, findings);
    } else {
      leave_out(fmt::format("no request can match both this and {} of {}", route.place.field,
                            describe(VirtualService::kKind, object.meta.name)));
    }
  }
}

void VirtualServices::report_unused_delegates(const ObjectSet& objects, Findings& findings) const {
  for (const auto& [name, object] : objects.all<VirtualService>()) {
    if (!object.hosts.empty() || delegates_.contains(name)) continue;
    findings.push_back(finding_on(Severity::kWarning, object, "spec.hosts",
                                  "has no effect: it has no host, and no VirtualService delegates to it"));
  }
}

v1::RouteDestination VirtualServices::compile_destination(const VirtualService& object,
                                                          const RouteDestination& destination,
                                                          const ServiceRegistry& services,
                                                          const DestinationRules& rules, std::string_view consequence,
                                                          Findings& findings) {
  const auto refuse = [&](std::string_view field, const std::string& what) {
    findings.push_back(
        finding_at(Severity::kError, object, destination.place, field, fmt::format("{}; {}", what, consequence)));
  };
  v1::RouteDestination compiled;
  compiled.set_host(destination.host);
  compiled.set_subset(destination.subset);
  compiled.set_port(destination.port);
  compiled.set_weight(destination.weight);
  if (destination.headers.ByteSizeLong() > 0) *compiled.mutable_headers() = destination.headers;
  if (destination.host.empty()) return compiled;  // named where it was read

  const Host host(destination.host, object.meta.name.ns);
  const Service* service = services.find(host);
  if (service == nullptr) {
    refuse(".host", fmt::format("no Service has the name '{}'", destination.host));
    return compiled;
  }
  const std::string name = describe(Service::kKind, service->meta.name);
  if (service->external_name || service->ports.empty()) {
    refuse(".host", fmt::format("{} has no TCP port of its own", name));
    return compiled;
  }
  compiled.set_service(service->meta.name.text());
  destinations_.insert(service->meta.name);

  if (destination.port == 0 && service->ports.size() == 1) compiled.set_port(service->ports.front().port);
  if (destination.port != 0 &&
      std::ranges::find(service->ports, destination.port, &ServicePortSpec::port) == service->ports.end())
    refuse(".port", fmt::format("{} has no port {}", name, destination.port));
  if (destination.subset.empty()) return compiled;
  const DestinationRule* rule = rules.of(service->meta.name);
  if (rule == nullptr) {
    refuse(".subset", fmt::format("no DestinationRule for {}, so there is no subset '{}'", name, destination.subset));
  } else if (std::ranges::find(rule->subsets, destination.subset, &SubsetSpec::name) == rule->subsets.end()) {
    refuse(".subset", fmt::format("{} has no subset '{}'", describe(rule->kKind, rule->meta.name), destination.subset));
  }
  return compiled;
}

void VirtualServices::add_hosts(const VirtualService& object, const ServiceRegistry& services, Findings& findings) {
  for (const RouteHost& written : object.hosts) {
    const Host host(written.host, object.meta.name.ns);
    const Table table{&object, &written, host, routes_.size() - 1};
    if (host.is_everything()) {
      findings.push_back(finding_at(Severity::kError, object, written.place, "",
                                    "has no effect: '*' is for gateways; in the mesh a host says more"));
    } else if (host.is_wildcard()) {
      wildcards_.insert(std::ranges::upper_bound(wildcards_, host.specificity(), std::ranges::greater{},
                                                 [](const Table& one) { return one.host.specificity(); }),
                        table);
    } else {
      const Service* service = services.find(host);
      const std::string why_not = obstacle(service);
      if (why_not.empty()) {
        std::vector<Table>& tables = by_service_[service->meta.name];
        const bool said_twice = !tables.empty() && tables.back().object == &object;  // "backend" and "backend.shop"
        if (!said_twice) tables.push_back(table);
      } else {
        findings.push_back(
            finding_at(Severity::kWarning, object, written.place, "", fmt::format("has no effect: {}", why_not)));
      }
    }
  }
}

std::vector<const VirtualServices::Table*> VirtualServices::tables_of(const Name& service) const {
  std::vector<const Table*> tables;
  if (const auto own = by_service_.find(service); own != by_service_.end()) {
    for (const Table& table : own->second) tables.push_back(&table);
  }
  for (const Table& table : wildcards_) {
    if (table.host.covers(service)) tables.push_back(&table);
  }
  return tables;
}

bool VirtualServices::routes(const Service& service) const {
  return obstacle(&service).empty() && !tables_of(service.meta.name).empty();
}

void VirtualServices::add_tables(const Service& service, v1::Service& model, Findings& findings) const {
  if (!routes(service)) return;
  const std::string name = describe(Service::kKind, service.meta.name);
  std::vector<const Table*> holding;
  for (const Table* table : tables_of(service.meta.name)) {
    const VirtualService& object = *table->object;
    bool hidden = false;
    for (const Table* earlier : holding) {
      const Visibility& holds = earlier->object->visible_to;
      const Visibility lost = overlap(object.visible_to, holds);
      if (lost && lost->empty()) continue;
      const bool for_all = hides_all_of(object.visible_to, holds);
      hidden |= for_all;
      // A wildcard yields to a host that says more; that is what it is for.
      if (table->host.specificity() != earlier->host.specificity()) continue;
      const std::string where =
          hides_all_of(object.visible_to, holds) ? "" : fmt::format(" for clients in {}", fmt::join(*lost, ", "));
      findings.push_back(finding_at(for_all ? Severity::kError : Severity::kWarning, object, table->written->place, "",
                                    fmt::format("has no effect on {}{}: {} holds there and comes first", name, where,
                                                describe(VirtualService::kKind, earlier->object->meta.name))));
    }
    if (hidden) continue;
    holding.push_back(table);
    v1::RouteTable& compiled = *model.add_route_tables();
    if (object.visible_to) compiled.mutable_visible_to()->Assign(object.visible_to->begin(), object.visible_to->end());
    *compiled.mutable_routes() = routes_[table->routes];
  }
}

}  // namespace leat::control
