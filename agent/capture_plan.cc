#include "agent/capture_plan.h"

#include <algorithm>

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

std::set<uint32_t> proxy_ids(const control::CapturePlan& plan) {
  std::set<uint32_t> ids;
  for (const control::PlannedAlias& alias : plan.aliases) {
    if (alias.destination) ids.insert(alias.id);
  }
  for (const control::DirectService& service : plan.services) {
    if (service.remote_alias_id) ids.insert(*service.remote_alias_id);
  }
  return ids;
}

capture::Plan to_capture_plan(const control::CapturePlan& plan, const SourceAliases& sources,
                              const std::set<uint32_t>* known) {
  const auto is_known = [&](uint32_t id) { return known == nullptr || known->contains(id); };
  capture::Plan out{.same_node = plan.same_node};
  for (const control::PlannedPod& pod : plan.pods) out.pods.push_back(to_spec(pod));
  for (const control::PlannedAlias& alias : plan.aliases) {
    out.aliases.push_back(
        {.id = alias.id, .address = alias.address, .destination = alias.destination && is_known(alias.id)});
  }
  for (const auto& [id, address] : sources) {
    const auto there = std::ranges::lower_bound(plan.aliases, id, {}, &control::PlannedAlias::id);
    const bool in_model = there != plan.aliases.end() && there->id == id;
    if (!in_model) out.aliases.push_back({.id = id, .address = address});
  }
  for (const control::DirectService& service : plan.services) {
    const bool remote_known = !service.remote_alias_id || is_known(*service.remote_alias_id);
    if (is_known(service.alias_id) && remote_known) out.direct.push_back(to_spec(service));
  }
  return out;
}

}  // namespace leat::agent
