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
  return "";
}

bool may_be(const Service& service, Routed routed) {
  return std::ranges::any_of(service.ports, [&](const ServicePortSpec& port) {
    return protocol_of(declared_protocol(port), routed) != v1::PROTOCOL_TCP;
  });
}
bool carries_http(const Service& service) { return may_be(service, {.http = true}); }
bool carries_tls(const Service& service) {
  return std::ranges::any_of(service.ports, [](const ServicePortSpec& port) {
    const Declared declared = declared_protocol(port);
    return declared == Declared::kTls || declared == Declared::kNothing;
  });
}
bool carries_opaque(const Service& service) {
  return std::ranges::any_of(service.ports, [](const ServicePortSpec& port) {
    const Declared declared = declared_protocol(port);
    return declared != Declared::kHttp && declared != Declared::kHttp2;
  });
}

// Which of the object's lists can't hold at any port of the Service, and why.
void check_ports(const VirtualService& object, const RouteHost& written, const Service& service, Findings& findings) {
  const std::string name = describe(Service::kKind, service.meta.name);
  const auto warn = [&](std::string_view list, std::string_view declared) {
    findings.push_back(
        finding_at(Severity::kWarning, object, written.place, "",
                   fmt::format("{} has no effect: no port of {} is declared as {}", list, name, declared)));
  };
  const bool alone = object.tls.empty() && object.tcp.empty();
  if (!object.http.empty() && !carries_http(service)) warn(alone ? "the object" : "http", "HTTP, HTTP/2 or gRPC");
  if (!object.tls.empty() && !carries_tls(service)) warn("tls", "TLS");
  if (!object.tcp.empty() && !carries_opaque(service)) warn("tcp", "TCP or TLS");
}

v1::Origin origin_of(const VirtualService& object, const Place& place) {
  v1::Origin origin;
  origin.set_kind(std::string(VirtualService::kKind));
  origin.set_namespace_(object.meta.name.ns);
  origin.set_name(object.meta.name.name);
  origin.set_file(object.meta.source.file);
  origin.set_line(place.line);
  return origin;
}

}  // namespace

VirtualServices::Difference VirtualServices::update(const std::vector<ObjectKey>* keys,
                                                    const std::set<Reads::Part>& dirty, const ServiceRegistry& services,
                                                    const DestinationRules& rules) {
  std::set<Name> names;
  if (keys == nullptr) {
    for (const auto& [name, compiled] : compiled_) names.insert(name);
    for (const auto& [name, object] : objects_.objects().all<VirtualService>()) names.insert(name);
    hostless_.clear();
  } else {
    for (const ObjectKey& key : *keys) {
      if (key.kind == VirtualService::kKind) names.insert(key.name);
    }
    for (const Reads::Part part : dirty) {
      if (const auto known = by_part_.find(part); known != by_part_.end()) names.insert(known->second);
    }
  }
  Difference difference{.any = !names.empty() || keys == nullptr};
  for (const Name& name : names) settle(name, services, rules, difference);
  return difference;
}

void VirtualServices::settle(const Name& name, const ServiceRegistry& services, const DestinationRules& rules,
                             Difference& difference) {
  auto object = objects_.objects().share<VirtualService>(name);
  if (object && object->hosts.empty()) {
    hostless_.insert(name);
  } else {
    hostless_.erase(name);
  }
  const bool routed = object && object->in_mesh && !object->hosts.empty() && object->routes_anything();
  auto known = compiled_.find(name);
  if (known != compiled_.end()) retract(known->second, difference);
  if (!routed) {
    if (known == compiled_.end()) return;
    by_part_.erase(known->second.part);
    reads_.remove(known->second.part);
    compiled_.erase(known);
    return;
  }
  if (known == compiled_.end()) {
    known = compiled_.try_emplace(name).first;
    known->second.part = reads_.add();
    by_part_.emplace(known->second.part, name);
  }
  known->second.object = std::move(object);
  compile(known->second, services, rules);
  enter(known->second, difference);
}

void VirtualServices::compile(Compiled& compiled, const ServiceRegistry& services, const DestinationRules& rules) {
  const Reads::Scope scope(reads_, compiled.part);
  compiled = {.part = compiled.part, .object = std::move(compiled.object)};
  const VirtualService& object = *compiled.object;
  for (const HttpRoute& route : object.http) {
    if (route.delegate) {
      add_delegated(object, route, services, rules, compiled);
    } else {
      *compiled.routes.Add() = compile_route(object, route, services, rules, compiled);
    }
  }
  compile_connections(services, rules, compiled);
  compile_hosts(services, compiled);
}

void VirtualServices::enter(const Compiled& compiled, Difference& difference) {
  const auto is_before = [](const Table* left, const Table* right) {
    const size_t lefts = left->host.specificity(), rights = right->host.specificity();
    return lefts != rights ? lefts > rights : is_older(left->from->object->meta, right->from->object->meta);
  };
  for (const Table& table : compiled.tables) {
    Tables& tables = table.host.is_wildcard() ? wildcards_ : by_service_[table.service];
    tables.insert(std::ranges::upper_bound(tables, &table, is_before), &table);
    if (table.host.is_wildcard()) difference.wildcards = true;
    if (!table.host.is_wildcard()) difference.services.insert(table.service);
  }
  for (const Name& service : compiled.destinations) {
    if (destinations_[service]++ == 0) difference.services.insert(service);
  }
  for (const Name& delegate : compiled.delegates) ++delegates_[delegate];
}

void VirtualServices::retract(const Compiled& compiled, Difference& difference) {
  const auto is_own = [&](const Table* table) { return table->from == &compiled; };
  for (const Table& table : compiled.tables) {
    if (table.host.is_wildcard()) {
      std::erase_if(wildcards_, is_own);
      difference.wildcards = true;
      continue;
    }
    const auto tables = by_service_.find(table.service);
    std::erase_if(tables->second, is_own);
    if (tables->second.empty()) by_service_.erase(tables);
    difference.services.insert(table.service);
  }
  for (const Name& service : compiled.destinations) {
    const auto count = destinations_.find(service);
    if (--count->second > 0) continue;
    destinations_.erase(count);
    difference.services.insert(service);
  }
  for (const Name& delegate : compiled.delegates) {
    const auto count = delegates_.find(delegate);
    if (--count->second == 0) delegates_.erase(count);
  }
}

std::set<Reads::Part> VirtualServices::parts() const {
  std::set<Reads::Part> parts;
  for (const auto& [part, name] : by_part_) parts.insert(part);
  return parts;
}

Findings VirtualServices::findings() const {
  Findings all;
  for (const auto& [name, compiled] : compiled_)
    all.insert(all.end(), compiled.findings.begin(), compiled.findings.end());
  for (const Name& name : hostless_) {
    if (delegates_.contains(name)) continue;
    all.push_back(finding_on(Severity::kWarning, *objects_.objects().find<VirtualService>(name), "spec.hosts",
                             "has no effect: it has no host, and no VirtualService delegates to it"));
  }
  return all;
}

v1::HttpRoute VirtualServices::compile_route(const VirtualService& object, const HttpRoute& route,
                                             const ServiceRegistry& services, const DestinationRules& rules,
                                             Compiled& into) const {
  v1::HttpRoute compiled = route.actions;
  compiled.set_name(route.name);
  compiled.mutable_matches()->Assign(route.matches.begin(), route.matches.end());
  for (const RouteDestination& destination : route.destinations)
    *compiled.add_destinations() = compile_destination(object, destination, services, rules,
                                                       "requests that come here are answered with 503", into);
  for (const MirrorSpec& spec : route.mirrors) {
    v1::Mirror& mirror = *compiled.add_mirrors();
    mirror.set_percent(spec.percent);
    *mirror.mutable_destination() = compile_destination(object, spec.to, services, rules, "nothing is mirrored", into);
  }
  *compiled.mutable_origin() = origin_of(object, route.place);
  return compiled;
}

void VirtualServices::compile_connections(const ServiceRegistry& services, const DestinationRules& rules,
                                          Compiled& compiled) const {
  const VirtualService& object = *compiled.object;
  for (const std::vector<ConnectionRoute>* list : {&object.tls, &object.tcp}) {
    for (const ConnectionRoute& route : *list) {
      v1::ConnectionRoute& made = *compiled.connections.Add();
      made.mutable_matches()->Assign(route.matches.begin(), route.matches.end());
      for (const RouteDestination& destination : route.destinations)
        *made.add_destinations() =
            compile_destination(object, destination, services, rules, "connections that come here are reset", compiled);
      *made.mutable_origin() = origin_of(object, route.place);
    }
  }
}

void VirtualServices::add_delegated(const VirtualService& object, const HttpRoute& route,
                                    const ServiceRegistry& services, const DestinationRules& rules,
                                    Compiled& compiled) const {
  Findings& findings = compiled.findings;
  const auto refuse = [&](const std::string& why) {
    findings.push_back(finding_at(Severity::kError, object, route.place, ".delegate",
                                  why + "; the entry is left out: the next one that matches holds"));
  };
  const auto* delegate = objects_.find<VirtualService>(*route.delegate);
  const std::string name = describe(VirtualService::kKind, *route.delegate);
  if (delegate == nullptr) return refuse(fmt::format("there is no {}", name));
  compiled.delegates.insert(*route.delegate);
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
      *compiled.routes.Add() = compile_route(*delegate, *merged, services, rules, compiled);
    } else {
      leave_out(fmt::format("no request can match both this and {} of {}", route.place.field,
                            describe(VirtualService::kKind, object.meta.name)));
    }
  }
}

v1::RouteDestination VirtualServices::compile_destination(const VirtualService& object,
                                                          const RouteDestination& destination,
                                                          const ServiceRegistry& services,
                                                          const DestinationRules& rules, std::string_view consequence,
                                                          Compiled& into) const {
  const auto refuse = [&](std::string_view field, const std::string& what) {
    into.findings.push_back(
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
  into.destinations.insert(service->meta.name);

  if (destination.port == 0 && service->ports.size() == 1) compiled.set_port(service->ports.front().port);
  if (destination.port != 0 &&
      std::ranges::find(service->ports, destination.port, &ServicePortSpec::port) == service->ports.end())
    refuse(".port", fmt::format("{} has no port {}", name, destination.port));
  if (!destination.subset.empty())
    check_subset(object, destination, service->meta.name, rules.of(service->meta.name, objects_), consequence, into);
  return compiled;
}

void VirtualServices::check_subset(const VirtualService& object, const RouteDestination& destination,
                                   const Name& service, const ScopedRules& rules, std::string_view consequence,
                                   Compiled& into) {
  const auto report = [&](Severity severity, const std::string& what) {
    into.findings.push_back(
        finding_at(severity, object, destination.place, ".subset", fmt::format("{}; {}", what, consequence)));
  };
  const auto has_it = [&](const ScopedRule& scoped) {
    return std::ranges::find(scoped.rule->subsets, destination.subset, &SubsetSpec::name) != scoped.rule->subsets.end();
  };
  const auto has_none = [&](const ScopedRule& scoped) {
    return fmt::format("{} has no subset '{}'", describe(DestinationRule::kKind, scoped.rule->meta.name),
                       destination.subset);
  };
  const std::string no_rule = fmt::format("no DestinationRule for {}, so there is no subset '{}'",
                                          describe(Service::kKind, service), destination.subset);
  ScopedRules holding;  // for some client that the object is for
  for (const ScopedRule& scoped : rules) {
    if (hold_for_all_in(object.visible_to, holding)) break;
    if (scoped.clients.meets(object.visible_to)) holding.push_back(scoped);
  }
  if (holding.empty()) return report(Severity::kError, no_rule);
  if (std::ranges::none_of(holding, has_it)) return report(Severity::kError, has_none(holding.back()));
  for (const ScopedRule& scoped : holding) {
    if (!has_it(scoped))
      report(Severity::kWarning, fmt::format("for {}: {}", text_of(scoped.clients), has_none(scoped)));
  }
  if (!hold_for_all_in(object.visible_to, holding)) report(Severity::kWarning, "for other clients: " + no_rule);
}

void VirtualServices::compile_hosts(const ServiceRegistry& services, Compiled& compiled) {
  const VirtualService& object = *compiled.object;
  for (const RouteHost& written : object.hosts) {
    const Host host(written.host, object.meta.name.ns);
    if (host.is_everything()) {
      compiled.findings.push_back(finding_at(Severity::kError, object, written.place, "",
                                             "has no effect: '*' is for gateways; in the mesh a host says more"));
    } else if (host.is_wildcard()) {
      compiled.tables.push_back({&compiled, &written, host, {}});
    } else {
      const Service* service = services.find(host);
      const std::string why_not = obstacle(service);
      if (why_not.empty()) {
        check_ports(object, written, *service, compiled.findings);
        const Name& name = service->meta.name;
        const bool said_twice =  // "backend" and "backend.shop"
            std::ranges::find(compiled.tables, name, &Table::service) != compiled.tables.end();
        if (!said_twice) compiled.tables.push_back({&compiled, &written, host, name});
      } else {
        compiled.findings.push_back(
            finding_at(Severity::kWarning, object, written.place, "", fmt::format("has no effect: {}", why_not)));
      }
    }
  }
}

VirtualServices::Tables VirtualServices::tables_of(const Name& service) const {
  objects_.note(fact_of(service));
  Tables tables;
  if (const auto own = by_service_.find(service); own != by_service_.end()) tables = own->second;
  for (const Table* table : wildcards_) {
    if (table->host.covers(service)) tables.push_back(table);
  }
  return tables;
}

bool VirtualServices::leads_to(const Name& service) const {
  objects_.note(fact_of(service));
  return destinations_.contains(service);
}

bool VirtualServices::routes(const Service& service) const {
  if (!obstacle(&service).empty()) return false;
  const bool http = carries_http(service);
  return std::ranges::any_of(tables_of(service.meta.name), [&](const Table* table) {
    return http || !table->from->object->tls.empty() || !table->from->object->tcp.empty();
  });
}

bool VirtualServices::routes_http(const Service& service) const {
  return routes(service) && std::ranges::any_of(tables_of(service.meta.name),
                                                [](const Table* table) { return !table->from->object->http.empty(); });
}

void VirtualServices::add_tables(const Service& service, v1::Service& model, Findings& findings) const {
  if (!routes(service)) return;
  const std::string name = describe(Service::kKind, service.meta.name);
  std::vector<const Table*> holding;
  for (const Table* table : tables_of(service.meta.name)) {
    const VirtualService& object = *table->from->object;
    bool hidden = false;
    for (const Table* earlier : holding) {
      const Visibility& holds = earlier->from->object->visible_to;
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
                                                describe(VirtualService::kKind, earlier->from->object->meta.name))));
    }
    if (hidden) continue;
    holding.push_back(table);
    v1::RouteTable& compiled = *model.add_route_tables();
    if (object.visible_to) compiled.mutable_visible_to()->Assign(object.visible_to->begin(), object.visible_to->end());
    *compiled.mutable_routes() = table->from->routes;
    *compiled.mutable_connection_routes() = table->from->connections;
  }
}

}  // namespace leat::control
