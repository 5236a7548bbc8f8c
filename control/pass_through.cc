#include "control/pass_through.h"

#include "control/traffic_policy.h"

namespace leat::control {

void pass_through(const Service& service, const DestinationRule* rule, ServiceEndpoints& endpoints) {
  if (rule == nullptr) return;
  for (const ServicePortSpec& port : service.ports) {
    const PolicySections sections = merge(rule->policy, nullptr, port.port);
    if (!sections.load_balancer || sections.load_balancer->algorithm != v1::LB_PASSTHROUGH) continue;
    for (auto& [address, endpoint] : endpoints) endpoint.ports.erase(port.port);
    for (const IpAddress& vip : service.vips) {
      ServiceEndpoint& endpoint = endpoints[vip];
      endpoint.ready = true;
      endpoint.ports[port.port] = port.port;
    }
  }
}

}  // namespace leat::control
