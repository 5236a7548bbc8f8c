#include "userspace-proxy/flow/choose_connection.h"

#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/route/decide.h"

namespace leat::proxy {
namespace {

Reason reason_of(RouteTarget::Missing missing) {
  switch (missing) {
    case RouteTarget::Missing::kService:
      return Reason::kNoRouteTarget;
    case RouteTarget::Missing::kSubset:
      return Reason::kNoSubset;
    case RouteTarget::Missing::kPort:
      return Reason::kNoSuchPort;
    case RouteTarget::Missing::kNothing:
      break;
  }
  return Reason::kNone;
}

}  // namespace

Outcome<ConnectionTarget> choose_connection(Worker& worker, FlowRecord& record, const Mesh& mesh, const Destination& to,
                                            std::string_view server_name) {
  const auto passed_on = [&] {
    record.service = nullptr;
    return ConnectionTarget{};
  };
  const route::Client client = record.source->as_client();
  const ServiceRef asked = for_client(to.service_of(server_name, record.requested.port), client);
  if (!asked || !asked->is_visible_to(client.namespace_)) return passed_on();
  if (record.service != asked) record.service = asked;
  const bool ipv6 = !to.address.is_v4();
  const route::Connection connection{
      .server_name = server_name, .destination = to.address, .port = record.requested.port, .source = record.client.ip};
  if (const auto* route = route::find_route(asked->route_tables(), connection, client)) {
    const route::Destination& destination = route::pick(route->destinations, worker.draw());
    RouteTarget target = mesh.resolve(destination, record.requested.port, ipv6, client);
    if (target.service && record.service != target.service) record.service = target.service;
    if (target.missing != RouteTarget::Missing::kNothing) return std::unexpected(reason_of(target.missing));
    return ConnectionTarget{std::move(target.service), target.port};
  }
  const Service::Port* port = asked->find_port(record.requested.port, ipv6);
  if (!port && asked->external) return passed_on();
  if (!port) return std::unexpected(Reason::kNoSuchPort);
  return ConnectionTarget{asked, port, to.remote_only};
}

}  // namespace leat::proxy
