#include "control/service_registry.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/host_answers.h"

namespace leat::control {
namespace {

Service service_of(const ServiceEntry& entry, const std::string& host, const View& objects) {
  Service service{.meta = entry.meta};
  service.meta.name = {entry.meta.name.ns, host};
  service.ports = entry.ports;
  service.external = true;
  service.as_asked = entry.resolution == "NONE" && entry.endpoints.empty() && entry.workloads.empty();
  service.visible_to = entry.visible_to;
  service.subject_alt_names = entry.subject_alt_names;
  service.vips = is_found_by_name(entry, host) ? answer_of(objects, host, nullptr) : entry.addresses;
  return service;
}

uint16_t target_of(const ServicePortSpec& port, const ServiceEntryEndpoint& endpoint) {
  const auto own = endpoint.ports.find(port.name);
  return own == endpoint.ports.end() ? port.target.number : own->second;
}

void add_pods(const ServiceRegistry::External& external, const PodTable& pods, ServiceEndpoints& endpoints) {
  pods.each_selected(external.entry->meta.name.ns, external.entry->workloads, [&](const LivePod& live) {
    for (const IpAddress& address : live.addresses()) {
      ServiceEndpoint& endpoint = endpoints[address];
      endpoint.pod = &live;
      endpoint.ready = live.ready();
      for (const ServicePortSpec& port : external.service.ports) endpoint.ports.emplace(port.port, port.target.number);
    }
  });
}

void add(const ServiceRegistry::External& external, const PodTable& pods, const IpAddress& address,
         const ServiceEntryEndpoint& from, ServiceEndpoints& endpoints) {
  ServiceEndpoint& endpoint = endpoints[address];
  endpoint.pod = pods.by_address(address);
  endpoint.ready = true;
  endpoint.weight = std::max(from.weight, 1u);
  endpoint.labels = from.labels;
  endpoint.locality = from.locality;
  for (const ServicePortSpec& port : external.service.ports) endpoint.ports.emplace(port.port, target_of(port, from));
}

// Of a name, in the order of its answer; only the first of a family with DNS_ROUND_ROBIN.
std::vector<IpAddress> resolved(const View& objects, const ServiceEntry& entry, const std::string& host,
                                std::string* problem) {
  std::vector<IpAddress> addresses = answer_of(objects, host, problem);
  if (entry.resolution == "DNS") return addresses;
  std::vector<IpAddress> first;
  for (const IpAddress& address : addresses) {
    if (std::ranges::find(first, address.is_v4(), &IpAddress::is_v4) == first.end()) first.push_back(address);
  }
  return first;
}

// Where the entry itself says so, else where its host is, else the addresses that it has. Returns what could not be
// resolved.
std::string add_own(const ServiceRegistry::External& external, const View& objects, const PodTable& pods,
                    ServiceEndpoints& endpoints) {
  const ServiceEntry& entry = *external.entry;
  const std::string& host = external.service.meta.name.name;
  std::string problem;
  for (const ServiceEntryEndpoint& from : entry.endpoints) {
    if (from.host.empty()) {
      add(external, pods, from.address, from, endpoints);
    } else {
      for (const IpAddress& address : resolved(objects, entry, from.host, &problem))
        add(external, pods, address, from, endpoints);
    }
  }
  if (!entry.endpoints.empty()) return problem;
  if (external.service.as_asked) {
    for (const IpAddress& address : entry.addresses) add(external, pods, address, {}, endpoints);
  } else if (entry.is_resolved() && !host.starts_with('*')) {
    for (const IpAddress& address : resolved(objects, entry, host, &problem))
      add(external, pods, address, {}, endpoints);
  }
  return problem;
}

void check_location(const ServiceEntry& entry, const ServiceEndpoints& endpoints, Findings& findings) {
  const auto plain = std::ranges::find_if(endpoints, [](const auto& each) { return each.second.pod == nullptr; });
  if (!entry.in_mesh || plain == endpoints.end()) return;
  findings.push_back(finding_on(Severity::kWarning, entry, "spec.location",
                                fmt::format("MESH_INTERNAL: {} is no pod of the mesh, so it is connected to in "
                                            "plaintext",
                                            plain->first.text())));
}

}  // namespace

ServiceRegistry::ServiceRegistry(const View& objects, Findings& findings) : objects_(objects) {
  std::vector<const ServiceEntry*> entries;
  for (const auto& [name, entry] : objects.all<ServiceEntry>()) entries.push_back(&entry);
  std::ranges::sort(entries, [](const auto* left, const auto* right) { return is_older(left->meta, right->meta); });
  std::map<std::string, const ServiceEntry*> owners;
  for (const ServiceEntry* entry : entries) {
    if (entry->ports.empty()) continue;
    for (const std::string& host : entry->hosts) {
      const auto refuse = [&](std::string message) {
        findings.push_back(finding_on(Severity::kError, *entry, "spec.hosts", std::move(message)));
      };
      const Host named(host, entry->meta.name.ns);
      if (named.service()) contested_.insert(*named.service());
      if (named.service() && objects.find<Service>(*named.service())) {
        refuse(
            fmt::format("'{}' is {} already; the host is left out", host, describe(Service::kKind, *named.service())));
        continue;
      }
      if (const auto [owner, added] = owners.emplace(host, entry); !added) {
        refuse(fmt::format("{} is for '{}' too and comes first; the host is left out",
                           describe(ServiceEntry::kKind, owner->second->meta.name), host));
        continue;
      }
      externals_.push_back({service_of(*entry, host, objects), entry});
      for (const IpAddress& vip : externals_.back().service.vips) ++owners_[vip];
    }
  }
  std::ranges::sort(externals_, {}, [](const External& external) { return external.service.meta.name; });
  for (size_t i = 0; i < externals_.size(); ++i) by_host_.emplace(externals_[i].service.meta.name.name, i);
}

const ServiceRegistry::External* ServiceRegistry::external(const Name& name) const {
  const auto found = by_host_.find(name.name);
  if (found == by_host_.end()) return nullptr;
  const External& external = externals_[found->second];
  return external.service.meta.name == name ? &external : nullptr;
}

const Service* ServiceRegistry::find(const Name& name) const {
  if (const auto* service = objects_.find<Service>(name)) return service;
  const External* known = external(name);
  return known == nullptr ? nullptr : &known->service;
}

const Service* ServiceRegistry::find(const Host& host) const {
  if (const auto external = by_host_.find(host.text()); external != by_host_.end())
    return &externals_[external->second].service;
  return host.service() ? objects_.find<Service>(*host.service()) : nullptr;
}

const Service* ServiceRegistry::answered(const std::string& host) {
  const auto found = by_host_.find(host);
  if (found == by_host_.end()) return nullptr;
  External& external = externals_[found->second];
  if (!is_found_by_name(*external.entry, host)) return nullptr;
  std::vector<IpAddress> vips = answer_of(objects_, host, nullptr);
  if (vips == external.service.vips) return nullptr;
  for (const IpAddress& vip : external.service.vips) --owners_[vip];
  for (const IpAddress& vip : vips) ++owners_[vip];
  std::erase_if(owners_, [](const auto& owner) { return owner.second == 0; });
  external.service.vips = std::move(vips);
  return &external.service;
}

bool ServiceRegistry::is_shared(const IpAddress& vip) const {
  const auto owners = owners_.find(vip);
  return owners != owners_.end() && owners->second > 1;
}

ServiceEndpoints ServiceRegistry::endpoints_of(const External& external, const PodTable& pods,
                                               Findings& findings) const {
  const ServiceEntry& entry = *external.entry;
  const std::string& host = external.service.meta.name.name;
  ServiceEndpoints endpoints;
  std::string problem;
  if (!entry.workloads.empty()) {
    add_pods(external, pods, endpoints);
  } else {
    problem = add_own(external, objects_, pods, endpoints);
  }
  check_location(entry, endpoints, findings);
  const auto warn = [&](std::string message) {
    findings.push_back(finding_at(Severity::kWarning, entry, entry.place, "", std::move(message)));
  };
  if (!problem.empty()) warn(fmt::format("is not resolved: {}", problem));
  const bool resolves = entry.is_resolved() && entry.workloads.empty();
  if (resolves && host.starts_with('*') && entry.endpoints.empty())
    warn(
        fmt::format("'{}' has no endpoint: a wildcard can't be resolved; give endpoints, or resolution NONE with "
                    "addresses",
                    host));
  if (external.service.vips.empty() && !is_found_by_name(entry, host))
    warn(fmt::format("'{}' has no address: connections of applications to it are left alone; only routes lead there",
                     host));
  if (endpoints.empty() && !resolves) warn("has no endpoint: requests that routes lead there are answered with 503");
  return endpoints;
}

}  // namespace leat::control
