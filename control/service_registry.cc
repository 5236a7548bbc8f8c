#include "control/service_registry.h"

#include <algorithm>

#include <fmt/format.h>

namespace leat::control {
namespace {

Service service_of(const ServiceEntry& entry, const std::string& host, bool first_host) {
  Service service{.meta = entry.meta};
  service.meta.name = {entry.meta.name.ns, host};
  service.ports = entry.ports;
  if (first_host) service.vips = entry.addresses;
  return service;
}

uint16_t target_of(const ServicePortSpec& port, const ServiceEntryEndpoint& endpoint) {
  const auto own = endpoint.ports.find(port.name);
  return own == endpoint.ports.end() ? port.target.number : own->second;
}

void add_pods(const ServiceRegistry::External& external, const PodTable& pods, ServiceEndpoints& endpoints) {
  for (const LivePod& live : pods.of_namespace(external.entry->meta.name.ns)) {
    if (!selects(external.entry->workloads, live.pod->meta.labels)) continue;
    for (const IpAddress& address : live.addresses) {
      ServiceEndpoint& endpoint = endpoints[address];
      endpoint.pod = &live;
      endpoint.ready = live.ready();
      for (const ServicePortSpec& port : external.service.ports) endpoint.ports.emplace(port.port, port.target.number);
    }
  }
}

// Where the entry itself says so, else the one address that it has.
void add_own(const ServiceRegistry::External& external, const PodTable& pods, ServiceEndpoints& endpoints) {
  std::vector<ServiceEntryEndpoint> own = external.entry->endpoints;
  if (own.empty() && external.entry->resolution == "NONE") {
    for (const IpAddress& address : external.entry->addresses) own.push_back({.address = address});
  }
  for (const ServiceEntryEndpoint& from : own) {
    ServiceEndpoint& endpoint = endpoints[from.address];
    endpoint.pod = pods.by_address(from.address);
    endpoint.ready = true;
    endpoint.weight = std::max(from.weight, 1u);
    for (const ServicePortSpec& port : external.service.ports) endpoint.ports.emplace(port.port, target_of(port, from));
  }
}

}  // namespace

ServiceRegistry::ServiceRegistry(const ObjectSet& objects, Findings& findings) : objects_(objects) {
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
      if (const Host named(host, entry->meta.name.ns); named.service() && objects.find<Service>(*named.service())) {
        refuse(
            fmt::format("'{}' is {} already; the host is left out", host, describe(Service::kKind, *named.service())));
        continue;
      }
      if (const auto [owner, added] = owners.emplace(host, entry); !added) {
        refuse(fmt::format("{} is for '{}' too and comes first; the host is left out",
                           describe(ServiceEntry::kKind, owner->second->meta.name), host));
        continue;
      }
      externals_.push_back({service_of(*entry, host, host == entry->hosts.front()), entry});
    }
    if (entry->hosts.size() > 1 && !entry->addresses.empty()) {
      findings.push_back(finding_on(
          Severity::kWarning, *entry, "spec.addresses",
          fmt::format("are those of '{}' alone: hosts of one address can't be told apart yet", entry->hosts.front())));
    }
  }
  std::ranges::sort(externals_, {}, [](const External& external) { return external.service.meta.name; });
  for (size_t i = 0; i < externals_.size(); ++i) by_host_.emplace(externals_[i].service.meta.name.name, i);
}

const Service* ServiceRegistry::find(const Name& name) const {
  if (const auto* service = objects_.find<Service>(name)) return service;
  const auto external = by_host_.find(name.name);
  if (external == by_host_.end()) return nullptr;
  const Service& service = externals_[external->second].service;
  return service.meta.name == name ? &service : nullptr;
}

const Service* ServiceRegistry::find(const Host& host) const {
  if (const auto external = by_host_.find(host.text()); external != by_host_.end())
    return &externals_[external->second].service;
  return host.service() ? objects_.find<Service>(*host.service()) : nullptr;
}

ServiceEndpoints ServiceRegistry::endpoints_of(const External& external, const PodTable& pods, Findings& findings) {
  const ServiceEntry& entry = *external.entry;
  ServiceEndpoints endpoints;
  if (!entry.workloads.empty()) {
    add_pods(external, pods, endpoints);
  } else {
    add_own(external, pods, endpoints);
  }
  if (entry.resolution == "NONE" && entry.workloads.empty() && entry.addresses.size() > 1) {
    findings.push_back(finding_at(Severity::kWarning, entry, entry.place, "",
                                  "NONE with several addresses: a connection may go to another one than it asked for"));
  }
  if (endpoints.empty()) {
    findings.push_back(finding_at(Severity::kWarning, entry, entry.place, "",
                                  entry.resolution == "STATIC" || entry.resolution == "NONE" || !entry.workloads.empty()
                                      ? "has no endpoint: requests that routes lead there are answered with 503"
                                      : fmt::format("{} is not supported yet: the host is not resolved, so it has no "
                                                    "endpoint",
                                                    entry.resolution)));
  }
  return endpoints;
}

}  // namespace leat::control
