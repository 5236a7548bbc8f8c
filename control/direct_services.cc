#include "control/direct_services.h"

#include <utility>

#include "control/connection_routes.h"
#include "control/service_policies.h"

namespace leat::control {

std::vector<DirectService> direct_services(const v1::Service& model, const IpAddress& vip, uint32_t alias_id,
                                           const ServiceEndpoints& endpoints,
                                           const std::function<uint32_t(const LivePod&)>& slot_of,
                                           const std::function<std::optional<uint32_t>()>& hold_remote) {
  std::vector<DirectService> services;
  std::optional<uint32_t> remote_alias_id;
  for (const v1::ServicePort& port : model.ports()) {
    if (port.protocol() != v1::PROTOCOL_TCP || routes_connections(model, port.port())) continue;
    if (port.policy() > 0 && needs_proxy(model.policies(static_cast<int>(port.policy()) - 1))) continue;
    DirectService direct{.alias_id = alias_id, .port = static_cast<uint16_t>(port.port())};
    for (const auto& [address, endpoint] : endpoints) {
      const auto target = endpoint.ports.find(direct.port);
      if (!endpoint.ready || target == endpoint.ports.end() || address.is_v4() != vip.is_v4()) continue;
      const uint32_t slot = endpoint.pod != nullptr ? slot_of(*endpoint.pod) : PodSlots::kNone;
      if (slot == PodSlots::kNone) {
        ++direct.remote_endpoints;
      } else {
        direct.local.push_back({address, target->second, slot});
      }
    }
    if (direct.local.empty()) continue;
    if (direct.remote_endpoints > 0 && !remote_alias_id) remote_alias_id = hold_remote();
    if (direct.remote_endpoints > 0) direct.remote_alias_id = remote_alias_id;
    services.push_back(std::move(direct));
  }
  return services;
}

}  // namespace leat::control
