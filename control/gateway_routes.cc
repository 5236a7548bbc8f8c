#include "control/gateway_routes.h"

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "control/protocol.h"

namespace leat::control {
namespace {

constexpr uint32_t kInvalidBackend = 500;  // what the specification wants, where a reference can't be used

bool is_service(const ObjectRef& ref) { return ref.group.empty() && ref.kind == "Service"; }

std::string port_text(uint16_t port) { return port == 0 ? "" : fmt::format(":{}", port); }

const ServicePortSpec* find_port(const Service& service, uint16_t port) {
  const auto found = std::ranges::find(service.ports, port, &ServicePortSpec::port);
  return found == service.ports.end() ? nullptr : &*found;
}

bool may_carry_http(const ServicePortSpec& port) {
  return protocol_of(declared_protocol(port), {.http = true}) != v1::PROTOCOL_TCP;
}

// Why no route can stand at this parent; empty: one can.
std::string obstacle(const Service* service, const ObjectRef& parent) {
  const std::string name = describe(Service::kKind, parent.name);
  if (service == nullptr) return fmt::format("there is no {}", name);
  if (service->headless) return fmt::format("{} is headless, so its clients connect to pods", name);
  if (service->external_name || service->ports.empty()) return fmt::format("{} has no TCP port of its own", name);
  if (parent.port == 0) {
    return std::ranges::any_of(service->ports, may_carry_http) ? "" : fmt::format("no port of {} carries HTTP", name);
  }
  const ServicePortSpec* port = find_port(*service, parent.port);
  if (port == nullptr) return fmt::format("{} has no port {}", name, parent.port);
  return may_carry_http(*port) ? "" : fmt::format("port {} of {} does not carry HTTP", parent.port, name);
}

bool is_granted(const View& objects, std::string_view kind, const std::string& from_ns, const Name& service) {
  return std::ranges::any_of(objects.all<ReferenceGrant>(), [&](const auto& entry) {
    const ReferenceGrant& grant = entry.second;
    const bool from = std::ranges::any_of(
        grant.from, [&](const ReferenceGrant::From& one) { return one.kind == kind && one.ns == from_ns; });
    const bool to = !grant.services || std::ranges::find(*grant.services, service.name) != grant.services->end();
    return grant.meta.name.ns == service.ns && from && to;
  });
}

v1::Condition condition(std::string type, bool holds, std::string reason, std::string message) {
  v1::Condition made;
  made.set_type(std::move(type));
  made.set_holds(holds);
  made.set_reason(std::move(reason));
  made.set_message(std::move(message));
  return made;
}

v1::Origin origin_of(std::string_view kind, const Meta& meta, int line) {
  v1::Origin origin;
  origin.set_kind(std::string(kind));
  origin.set_namespace_(meta.name.ns);
  origin.set_name(meta.name.name);
  origin.set_file(meta.source.file);
  origin.set_line(line);
  return origin;
}

v1::Finding route_finding(std::string_view kind, const Meta& meta, const Place& place, std::string message,
                          Severity severity = Severity::kError) {
  return make_finding(severity, {meta.source.file, place.line}, describe(kind, meta.name), place.field,
                      std::move(message));
}

// The specification's order: an exact path, then (which it leaves open) an expression, then the longest prefix; a
// method; the most headers; the most query parameters. Greater comes first.
auto specificity(const v1::RouteMatch& match) {
  const v1::StringMatch& uri = match.uri();
  const int kind = uri.has_exact() ? 3 : uri.has_regex() ? 2 : 1;
  const size_t length = uri.has_exact()   ? uri.exact().size()
                        : uri.has_regex() ? uri.regex().size()
                                          : uri.prefix().size();
  return std::make_tuple(kind, length, match.has_method(), match.headers_size(), match.query_params_size());
}

}  // namespace

bool GatewayRoutes::comes_before(const Entry& left, const Entry& right) {
  const auto lefts = specificity(left.route.matches(0));
  const auto rights = specificity(right.route.matches(0));
  if (lefts != rights) return lefts > rights;
  return left.meta == right.meta ? left.place < right.place : is_older(*left.meta, *right.meta);
}

GatewayRoutes::GatewayRoutes(const View& objects, Findings& findings) {
  attach_all<GatewayHttpRoute>(objects, findings);
  attach_all<GatewayGrpcRoute>(objects, findings);
  for (auto& [service, tables] : by_service_) {
    for (auto& [ns, table] : tables) std::ranges::sort(table.entries, comes_before);
  }
}

template <typename Kind>
void GatewayRoutes::attach_all(const View& objects, Findings& findings) {
  for (const auto& [name, route] : objects.all<Kind>()) {
    for (const ObjectRef& parent : route.spec.parents) {
      if (is_service(parent)) {
        attach({&route.meta, Kind::kKind, &route.spec, &parent}, objects, findings);
      } else {
        findings.push_back(finding_at(Severity::kWarning, route, parent.place, "",
                                      fmt::format("{} is not supported: in the mesh a parent is a Service of the "
                                                  "group \"\"; without effect",
                                                  parent.kind)));
      }
    }
  }
}

void GatewayRoutes::attach(const Attached& route, const View& objects, Findings& findings) {
  const ObjectRef& parent = *route.parent;
  v1::RouteStatus& status = statuses_.emplace_back();
  *status.mutable_route() = origin_of(route.kind, *route.meta, route.meta->source.line);
  status.set_parent(describe(Service::kKind, parent.name) + port_text(parent.port));
  const auto* service = objects.find<Service>(parent.name);
  const std::string why_not = obstacle(service, parent);
  v1::Condition resolved = condition("ResolvedRefs", true, "ResolvedRefs", "");
  Table rules;
  for (const GatewayRule& rule : route.spec->rules) {
    v1::HttpRoute compiled = rule.actions;
    compiled.set_name(rule.name);
    *compiled.mutable_origin() = origin_of(route.kind, *route.meta, rule.place.line);
    if (compiled.answer_case() == v1::HttpRoute::ANSWER_NOT_SET) {
      const auto backends = compile_backends(route, rule, objects, resolved, findings);
      compiled.mutable_destinations()->Assign(backends.begin(), backends.end());
      if (backends.empty()) compiled.mutable_direct_response()->set_status(kInvalidBackend);
    }
    for (const auto& [backend, percent] : rule.mirrors) {
      v1::Mirror& mirror = *compiled.add_mirrors();
      mirror.set_percent(percent);
      *mirror.mutable_destination() =
          compile_backend(route, backend, objects, "nothing is mirrored", resolved, findings);
    }
    for (const v1::RouteMatch& match : rule.matches) {
      Entry& entry = rules.entries.emplace_back(Entry{route.meta, compiled, rules.entries.size()});
      *entry.route.add_matches() = match;
      if (parent.port != 0) entry.route.mutable_matches(0)->set_port(parent.port);
    }
  }
  if (why_not.empty()) {
    const bool consumer = route.meta->name.ns != parent.name.ns;
    Table& table = by_service_[parent.name][consumer ? route.meta->name.ns : ""];
    if (table.entries.empty()) table.origin = origin_of(route.kind, *route.meta, route.meta->source.line);
    std::ranges::move(rules.entries, std::back_inserter(table.entries));
    table.all_ports |= parent.port == 0;
    if (parent.port != 0) table.ports.insert(parent.port);
    *status.add_conditions() = condition("Accepted", true, "Accepted", "");
  } else {
    findings.push_back(route_finding(route.kind, *route.meta, parent.place, "has no effect: " + why_not));
    *status.add_conditions() = condition("Accepted", false, "NoMatchingParent", why_not);
  }
  *status.add_conditions() = std::move(resolved);
}

std::vector<v1::RouteDestination> GatewayRoutes::compile_backends(const Attached& route, const GatewayRule& rule,
                                                                  const View& objects, v1::Condition& resolved,
                                                                  Findings& findings) {
  std::vector<v1::RouteDestination> destinations;
  uint64_t sum = 0;
  for (const BackendRef& backend : rule.backends) {
    destinations.push_back(
        compile_backend(route, backend, objects, "requests that come here are answered with 500", resolved, findings));
    sum += backend.weight;
  }
  if (sum > 0) return destinations;
  findings.push_back(route_finding(
      route.kind, *route.meta, rule.place,
      rule.backends.empty() ? "leads nowhere; requests that it matches are answered with 500"
                            : "the weights of its backends sum to 0; requests that it matches are answered with 500"));
  return {};
}

v1::RouteDestination GatewayRoutes::compile_backend(const Attached& route, const BackendRef& backend,
                                                    const View& objects, std::string_view consequence,
                                                    v1::Condition& resolved, Findings& findings) {
  const ObjectRef& to = backend.to;
  v1::RouteDestination destination;
  destination.set_host(to.name.text());
  destination.set_weight(backend.weight);
  destination.set_missing_status(kInvalidBackend);
  if (backend.headers.ByteSizeLong() > 0) *destination.mutable_headers() = backend.headers;
  const auto refuse = [&](std::string reason, const std::string& why) {
    findings.push_back(route_finding(route.kind, *route.meta, to.place, fmt::format("{}; {}", why, consequence)));
    if (resolved.holds()) resolved = condition("ResolvedRefs", false, std::move(reason), why);
    return destination;
  };
  if (!is_service(to)) return refuse("InvalidKind", fmt::format("'{}' is no kind that requests can go to", to.kind));
  const std::string name = describe(Service::kKind, to.name);
  const bool foreign = to.name.ns != route.meta->name.ns && to.name != route.parent->name;
  if (foreign && !is_granted(objects, route.kind, route.meta->name.ns, to.name))
    return refuse("RefNotPermitted",
                  fmt::format("no ReferenceGrant in {} lets this route lead to {}", to.name.ns, name));
  const auto* service = objects.find<Service>(to.name);
  if (service == nullptr) return refuse("BackendNotFound", fmt::format("there is no {}", name));
  if (service->external_name || service->ports.empty())
    return refuse("BackendNotFound", fmt::format("{} has no TCP port of its own", name));
  if (to.port == 0) return refuse("BackendNotFound", "a Service needs a port");
  if (find_port(*service, to.port) == nullptr)
    return refuse("BackendNotFound", fmt::format("{} has no port {}", name, to.port));
  destination.set_service(to.name.text());
  destination.set_port(to.port);
  destinations_.insert(to.name);
  return destination;
}

bool GatewayRoutes::routes(const Service& service, const View& view) const {
  view.note(fact_of(service.meta.name));
  return by_service_.contains(service.meta.name);
}

bool GatewayRoutes::leads_to(const Name& service, const View& view) const {
  view.note(fact_of(service));
  return destinations_.contains(service);
}

std::set<Name> GatewayRoutes::services() const {
  std::set<Name> all = destinations_;
  for (const auto& [service, tables] : by_service_) all.insert(service);
  return all;
}

void GatewayRoutes::add_tables(const Service& service, const View& view, v1::Service& model, Findings& findings) const {
  view.note(fact_of(service.meta.name));
  const auto found = by_service_.find(service.meta.name);
  if (found == by_service_.end()) return;
  const bool hidden =
      std::ranges::any_of(model.route_tables(), [](const v1::RouteTable& table) { return table.visible_to().empty(); });
  // The Service's own routes are under "", the first key: they come last.
  for (auto each = found->second.rbegin(); each != found->second.rend(); ++each) {
    const auto& [ns, table] = *each;
    if (hidden) {
      const Meta& meta = *table.entries.front().meta;
      findings.push_back(route_finding(table.origin.kind(), meta,
                                       {.field = "spec.parentRefs", .line = meta.source.line},
                                       fmt::format("has no effect on {}: a VirtualService holds there and comes first",
                                                   describe(Service::kKind, service.meta.name))));
      continue;
    }
    v1::RouteTable& compiled = *model.add_route_tables();
    if (!ns.empty()) compiled.add_visible_to(ns);
    for (const Entry& entry : table.entries) *compiled.add_routes() = entry.route;
    if (table.all_ports) continue;
    // Requests to ports that no route stands at go on as if there was none.
    v1::HttpRoute rest;
    for (const ServicePortSpec& port : service.ports) {
      if (!table.ports.contains(port.port) && may_carry_http(port)) rest.add_matches()->set_port(port.port);
    }
    if (rest.matches().empty()) continue;
    *rest.mutable_origin() = table.origin;
    v1::RouteDestination& own = *rest.add_destinations();
    own.set_service(service.meta.name.text());
    own.set_host(service.meta.name.text());
    own.set_weight(1);
    *compiled.add_routes() = std::move(rest);
  }
}

}  // namespace leat::control
