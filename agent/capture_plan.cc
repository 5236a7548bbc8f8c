#include "agent/capture_plan.h"

namespace leat::agent {
namespace {

capture::PodSpec to_spec(const control::PlannedPod& pod) {
  return {.uid = pod.uid,
          .index = pod.index,
          .addresses = pod.addresses,
          .netns_path = pod.netns_path,
          .strict = pod.mtls == v1::MTLS_STRICT,
          .port_mtls = pod.port_mtls,
          .outbound = {pod.exclusions.outbound_ports, pod.exclusions.outbound_cidrs},
          .inbound = {pod.exclusions.inbound_ports, pod.exclusions.inbound_cidrs},
          .probe_ports = pod.probe_ports};
}

capture::DirectService to_spec(const control::DirectService& service) {
  capture::DirectService spec{.alias_id = service.alias_id,
                              .port = service.port,
                              .remote_endpoints = service.remote_endpoints,
                              .remote_alias_id = service.remote_alias_id.value_or(0)};
  for (const control::DirectEndpoint& endpoint : service.local) {
    spec.local.push_back({.address = endpoint.address, .port = endpoint.port, .pod_index = endpoint.pod_index});
  }
  return spec;
}

}  // namespace

capture::Plan to_capture_plan(const control::CapturePlan& plan, const Ids& withheld) {
  capture::Plan out{.same_node = plan.same_node, .all_aliases = false};
  for (const control::PlannedPod& pod : plan.pods) out.pods.push_back(to_spec(pod));
  for (const control::DirectService& service : plan.services) {
    const bool remote_known = !service.remote_alias_id || !withheld.contains(*service.remote_alias_id);
    if (!withheld.contains(service.alias_id) && remote_known) out.direct.push_back(to_spec(service));
  }
  return out;
}

void add_aliases(const std::vector<control::PlannedAlias>& aliases, const Ids& withheld, capture::Plan& plan) {
  for (const control::PlannedAlias& alias : aliases) {
    plan.aliases.push_back(
        {.id = alias.id, .address = alias.address, .destination = alias.destination && !withheld.contains(alias.id)});
  }
}

}  // namespace leat::agent
