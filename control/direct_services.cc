#include "control/direct_services.h"

#include <algorithm>
#include <utility>

#include "control/connection_routes.h"
#include "control/service_policies.h"

namespace leat::control {
namespace {

// The kernel does not tell clients apart: what some of them need holds for all.
bool is_policed(const v1::Service& model, uint32_t port) {
  const auto declared = std::ranges::find(model.ports(), port, &v1::ServicePort::port);
  return (declared->policy() > 0 && needs_proxy(model.policies(static_cast<int>(declared->policy()) - 1))) ||
         std::ranges::any_of(model.client_rules(),
                             [&](const v1::ClientRule& rule) { return is_policed(rule.service(), port); });
}

}  // namespace

std::vector<DirectService> direct_services(const v1::Service& model, const IpAddress& vip, uint32_t alias_id,
                                           const ServiceEndpoints& endpoints,
                                           const std::function<uint32_t(const LivePod&)>& slot_of,
                                           const std::function<std::optional<uint32_t>()>& hold_remote) {
  std::vector<DirectService> services;
  std::optional<uint32_t> remote_alias_id;
  for (const v1::ServicePort& port : model.ports()) {
    if (port.protocol() != v1::PROTOCOL_TCP || routes_connections(model, port.port())) continue;
    if (is_policed(model, port.port())) continue;
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
