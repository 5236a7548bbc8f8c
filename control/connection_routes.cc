#include "control/connection_routes.h"

#include <algorithm>

namespace leat::control {
namespace {

template <typename Holds>
bool any_match(const v1::Service& model, uint32_t port, Holds holds) {
  const auto at_port = [&](const v1::ConnectionMatch& match) {
    return (match.port() == 0 || match.port() == port) && holds(match);
  };
  return std::ranges::any_of(model.route_tables(), [&](const v1::RouteTable& table) {
    return std::ranges::any_of(table.connection_routes(), [&](const v1::ConnectionRoute& route) {
      if (route.matches().empty()) return holds(v1::ConnectionMatch::default_instance());
      return std::ranges::any_of(route.matches(), at_port);
    });
  });
}

}  // namespace

bool routes_connections(const v1::Service& model, uint32_t port) {
  return any_match(model, port, [](const v1::ConnectionMatch&) { return true; });
}

void set_protocols(const Service& service, bool http, bool shared, v1::Service& model) {
  for (v1::ServicePort& port : *model.mutable_ports()) {
    const auto spec = std::ranges::find(service.ports, port.port(), &ServicePortSpec::port);
    const bool names =
        any_match(model, port.port(), [](const v1::ConnectionMatch& match) { return !match.sni_hosts().empty(); });
    port.set_protocol(protocol_of(declared_protocol(*spec), {.http = http, .tls = names || shared}));
  }
}

}  // namespace leat::control
