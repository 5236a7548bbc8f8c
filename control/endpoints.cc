#include "control/endpoints.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace leat::control {
namespace {

// Ready as Kubernetes means it for traffic, and what is left to serve when nothing is ready.
struct Readiness {
  bool ready = false;
  bool serving_while_terminating = false;
};

std::optional<uint16_t> target_of(const ServicePortSpec& port, const Pod& pod) {
  if (port.target.number != 0) return port.target.number;
  const auto named = std::ranges::find(pod.ports, port.target.name, &ContainerPort::name);
  return named == pod.ports.end() ? std::nullopt : std::optional(named->port);
}

// An endpoint that stands in several slices is ready if one of them says so.
class Collector {
 public:
  ServiceEndpoint& at(const IpAddress& address, const PodTable& pods, Readiness readiness) {
    ServiceEndpoint& endpoint = endpoints_[address];
    endpoint.pod = pods.by_address(address);
    endpoint.ready |= readiness.ready;
    any_ready_ |= readiness.ready;
    if (readiness.serving_while_terminating) last_resort_.push_back(&endpoint);
    return endpoint;
  }

  // As kube-proxy: while nothing is ready, endpoints that go away but still serve are better than none.
  ServiceEndpoints take() && {
    if (!any_ready_) {
      for (ServiceEndpoint* endpoint : last_resort_) endpoint->ready = true;
    }
    return std::move(endpoints_);
  }

 private:
  ServiceEndpoints endpoints_;
  std::vector<ServiceEndpoint*> last_resort_;
  bool any_ready_ = false;
};

ServiceEndpoints from_slices(const Service& service, std::span<const std::shared_ptr<const EndpointSlice>> slices,
                             const PodTable& pods) {
  Collector collector;
  for (const auto& slice : slices) {
    for (const SliceEndpoint& entry : slice->endpoints) {
      const bool ready = (entry.ready && !entry.terminating) || service.publish_not_ready;
      for (const IpAddress& address : entry.addresses) {
        ServiceEndpoint& endpoint = collector.at(address, pods, {ready, entry.serving && entry.terminating});
        endpoint.node = entry.node;
        endpoint.zone = entry.zone;
        endpoint.for_zones = entry.for_zones;
        endpoint.for_nodes = entry.for_nodes;
        for (const ServicePortSpec& port : service.ports) {
          const auto same_name = std::ranges::find(slice->ports, port.name, &SlicePort::name);
          if (same_name != slice->ports.end()) endpoint.ports.emplace(port.port, same_name->port);
        }
      }
    }
  }
  return std::move(collector).take();
}

ServiceEndpoints from_selector(const Service& service, const PodTable& pods, Findings& findings) {
  Collector collector;
  size_t selected = 0;
  std::vector<bool> resolved(service.ports.size(), false);
  pods.each_selected(service.meta.name.ns, service.selector, [&](const LivePod& live) {
    ++selected;
    const bool terminating = live.pod->meta.terminating;
    const bool serving = live.pod->ready.value_or(true);
    for (const IpAddress& address : live.addresses()) {
      ServiceEndpoint& endpoint =
          collector.at(address, pods, {live.ready() || service.publish_not_ready, serving && terminating});
      for (size_t i = 0; i < service.ports.size(); ++i) {
        const auto target = target_of(service.ports[i], *live.pod);
        if (!target) continue;
        resolved[i] = true;
        endpoint.ports.emplace(service.ports[i].port, *target);
      }
    }
  });
  if (selected == 0)
    findings.push_back(finding_on(Severity::kWarning, service, "spec.selector", "selects no pod that runs"));
  for (size_t i = 0; i < service.ports.size() && selected > 0; ++i) {
    if (resolved[i]) continue;
    findings.push_back(
        finding_on(Severity::kError, service, fmt::format("spec.ports[{}].targetPort", i),
                   fmt::format("no selected pod has a TCP port named '{}'", service.ports[i].target.name)));
  }
  return std::move(collector).take();
}

}  // namespace

std::set<Name> SliceTable::update(const std::vector<ObjectKey>* keys, const ObjectSet& objects) {
  std::set<Name> changed;
  const auto by_name = [](const auto& slice) -> const Name& { return slice->meta.name; };
  const auto put = [&](const Name& name) {
    auto slice = objects.share<EndpointSlice>(name);
    const Name service{name.ns, slice->service};
    Slices& slices = by_service_[service];
    slices.insert(std::ranges::lower_bound(slices, name, {}, by_name), std::move(slice));
    services_[name] = service;
    changed.insert(service);
  };
  const auto take = [&](const Name& name) {
    const auto service = services_.find(name);
    if (service == services_.end()) return;
    const auto slices = by_service_.find(service->second);
    std::erase_if(slices->second, [&](const auto& slice) { return slice->meta.name == name; });
    if (slices->second.empty()) by_service_.erase(slices);
    changed.insert(service->second);
    services_.erase(service);
  };
  if (keys == nullptr) {
    for (const auto& [service, slices] : std::exchange(by_service_, {})) changed.insert(service);
    services_.clear();
    for (const auto& [name, slice] : objects.all<EndpointSlice>()) put(name);
    return changed;
  }
  for (const ObjectKey& key : *keys) {
    if (key.kind != EndpointSlice::kKind) continue;
    take(key.name);
    if (objects.find<EndpointSlice>(key.name) != nullptr) put(key.name);
  }
  return changed;
}

std::span<const std::shared_ptr<const EndpointSlice>> SliceTable::of(const Name& service, const View& view) const {
  view.note(fact_of(service));
  const auto found = by_service_.find(service);
  return found == by_service_.end() ? std::span<const std::shared_ptr<const EndpointSlice>>() : found->second;
}

ServiceEndpoints endpoints_of(const Service& service, const SliceTable& slices, const PodTable& pods, const View& view,
                              Findings& findings) {
  if (const auto given = slices.of(service.meta.name, view); !given.empty()) return from_slices(service, given, pods);
  if (!service.selector.empty()) return from_selector(service, pods, findings);
  findings.push_back(finding_on(Severity::kWarning, service, "spec.selector",
                                "neither a selector nor an EndpointSlice: it has no endpoint"));
  return {};
}

}  // namespace leat::control
