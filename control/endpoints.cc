#include "control/endpoints.h"

#include <algorithm>

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

ServiceEndpoints from_slices(const Service& service, const std::vector<const EndpointSlice*>& slices,
                             const PodTable& pods) {
  Collector collector;
  for (const EndpointSlice* slice : slices) {
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
  for (const LivePod& live : pods.of_namespace(service.meta.name.ns)) {
    if (!selects(service.selector, live.pod->meta.labels)) continue;
    ++selected;
    const bool terminating = live.pod->meta.terminating;
    const bool serving = live.pod->ready.value_or(true);
    for (const IpAddress& address : live.addresses) {
      ServiceEndpoint& endpoint =
          collector.at(address, pods, {live.ready() || service.publish_not_ready, serving && terminating});
      for (size_t i = 0; i < service.ports.size(); ++i) {
        const auto target = target_of(service.ports[i], *live.pod);
        if (!target) continue;
        resolved[i] = true;
        endpoint.ports.emplace(service.ports[i].port, *target);
      }
    }
  }
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

SlicesByService group_slices(const ObjectSet& objects, Findings& findings) {
  SlicesByService slices;
  for (const auto& [name, slice] : objects.all<EndpointSlice>()) {
    const Name service{name.ns, slice.service};
    if (objects.find<Service>(service) == nullptr) {
      findings.push_back(finding_on(Severity::kWarning, slice, "metadata.labels[kubernetes.io/service-name]",
                                    fmt::format("there is no Service {}", service.text())));
    }
    slices[service].push_back(&slice);
  }
  return slices;
}

ServiceEndpoints endpoints_of(const Service& service, const SlicesByService& slices, const PodTable& pods,
                              Findings& findings) {
  if (const auto given = slices.find(service.meta.name); given != slices.end())
    return from_slices(service, given->second, pods);
  if (!service.selector.empty()) return from_selector(service, pods, findings);
  findings.push_back(finding_on(Severity::kWarning, service, "spec.selector",
                                "neither a selector nor an EndpointSlice: it has no endpoint"));
  return {};
}

}  // namespace leat::control
