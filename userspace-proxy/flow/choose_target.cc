#include "userspace-proxy/flow/choose_target.h"

#include <algorithm>
#include <string>

#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/http1/scan.h"
#include "userspace-proxy/route/decide.h"

namespace leat::proxy {
namespace {

// Fields of one name are one list (RFC 9110, section 5.2).
std::optional<std::string_view> value_of(const http1::Fields& fields, std::string_view name, std::string& joined) {
  const http1::Field* first = fields.find(name);
  if (!first) return std::nullopt;
  std::string_view value = fields.value(*first);
  const size_t next = static_cast<size_t>(first - fields.all().data()) + 1;
  for (const http1::Field& field : fields.all().subspan(next)) {
    if (!http1::equal_ignoring_case(fields.name(field), name)) continue;
    if (value.data() != joined.data()) joined = value;
    joined.append(",").append(fields.value(field));
    value = joined;
  }
  return value;
}

struct FindHeader {
  const http1::Fields& fields;
  std::optional<std::string_view> operator()(std::string_view name, std::string& joined) const {
    return value_of(fields, name, joined);
  }
};

// The request as routes and policies see it. `find` must outlive it.
route::Request view_of(const http1::RequestHead& request, uint16_t port, const FindHeader& find) {
  const std::string_view target = request.path_and_query();
  const size_t path_bytes = std::min(target.find('?'), target.size());
  return {.method = request.method_text(),
          .scheme = "http",
          .authority = request.authority(),
          .path = target.substr(0, path_bytes),
          .query = target.substr(std::min(path_bytes + 1, target.size())),
          .port = port,
          .headers = route::Headers(find)};
}

Outcome<ChosenTarget> with_hash(Outcome<ChosenTarget> chosen, Worker& worker, const FlowRecord& record,
                                const route::Request& request) {
  if (!chosen || !chosen->port || !chosen->port->policy || !chosen->port->policy->hash) return chosen;
  const uint64_t random = uint64_t{worker.draw()} << 32 | worker.draw();
  chosen->hash = hash_key(*chosen->port->policy, request.headers, request.query, record.client.ip, random);
  return chosen;
}

// The endpoints that the route leads to.
Outcome<ChosenTarget> follow(const route::Route& route, ChosenTarget chosen, const Mesh& mesh, FlowRecord& record,
                             bool ipv6, uint32_t random) {
  chosen.route = &route;
  if (route.destinations.empty()) return chosen;
  chosen.destination = &route::pick(route.destinations, random);
  RouteTarget target = mesh.resolve(*chosen.destination, record.requested.port, ipv6, record.source->as_client());
  if (target.service && record.service != target.service) record.service = target.service;
  if (target.missing != RouteTarget::Missing::kNothing && chosen.destination->missing_status == 500)
    return std::unexpected(Reason::kInvalidBackend);
  switch (target.missing) {
    case RouteTarget::Missing::kService:
      return std::unexpected(Reason::kNoRouteTarget);
    case RouteTarget::Missing::kSubset:
      return std::unexpected(Reason::kNoSubset);
    case RouteTarget::Missing::kPort:
      return std::unexpected(Reason::kNoSuchPort);
    case RouteTarget::Missing::kNothing:
      break;
  }
  chosen.service = std::move(target.service);
  chosen.port = target.port;
  return chosen;
}

// The one that the request's host names, where several have its address; null: none of them.
ServiceRef asked_by(const Destination& to, const http1::RequestHead& request, uint16_t port) {
  if (to.others.empty()) return to.service;
  std::string host(request.authority());
  if (const size_t colon = host.rfind(':'); colon != std::string::npos && host.find(']', colon) == std::string::npos)
    host.resize(colon);
  std::ranges::transform(host, host.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return to.service_of(host, port);
}

// The very address that the client asked for, as if it were a Service of its own: the mesh knows nothing more of it.
ChosenTarget passed_on(const SocketAddress& requested) {
  auto service = std::make_unique<Service>();
  service->key = service->name = "PassthroughCluster";  // as Istio calls it
  Service::Port& port = service->ports.emplace_back();
  port.port = requested.port;
  port.ipv6 = !requested.ip.is_v4();
  port.protocol = v1::PROTOCOL_HTTP;
  port.id = std::hash<SocketAddress>()(requested);
  Backend& backend = port.backends.emplace_back();
  backend.target = requested;
  port.remote = 1;
  ServiceRef shared(service.release());
  const Service::Port* only = &shared->ports.front();
  return {.asked = shared, .service = shared, .port = only};
}

// The client's pod has left the mesh, or what it asks for has: its connection is from before that. Its last request
// goes to the endpoints that were known then, as Kubernetes would balance it; routes hold in the mesh alone.
Outcome<ChosenTarget> as_it_was(const FlowRecord& record) {
  const ServiceRef& known = record.service;
  if (!known) return std::unexpected(Reason::kNotAnAlias);
  const Service::Port* port = known->find_port(record.requested.port, !record.requested.ip.is_v4());
  if (!port) return std::unexpected(Reason::kNoSuchPort);
  return ChosenTarget{.asked = known, .service = known, .port = port, .last = true};
}

}  // namespace

Outcome<ChosenTarget> choose_target(Worker& worker, FlowRecord& record, const http1::RequestHead& request,
                                    const IpAddress& alias) {
  const MeshRef mesh = worker.mesh();
  const std::optional<Destination> to = mesh->destination(alias);
  if (!to) return as_it_was(record);
  if (!to->service) {
    if (record.service) record.service = nullptr;
    return std::unexpected(Reason::kTargetGone);
  }
  const route::Client client = record.source->as_client();
  const ServiceRef asked = for_client(asked_by(*to, request, record.requested.port), client);
  if (record.service != asked) record.service = asked;
  if (!asked || !asked->is_visible_to(client.namespace_)) return passed_on(record.requested);

  const bool ipv6 = !to->address.is_v4();
  const FindHeader find{request.fields()};
  const route::Request seen = view_of(request, record.requested.port, find);
  const route::Decision decision = route::decide(asked->route_tables(), seen, client);
  switch (decision.kind) {
    case route::Decision::Kind::kNoMatch:
      return std::unexpected(Reason::kNoRoute);
    case route::Decision::Kind::kRouted:
      return with_hash(
          follow(*decision.route, {.asked = asked, .matched_path = decision.matched_path(request.path_and_query())},
                 *mesh, record, ipv6, worker.draw()),
          worker, record, seen);
    case route::Decision::Kind::kUnrouted:
      break;
  }
  const Service::Port* port = asked->find_port(record.requested.port, ipv6);
  if (!port) return std::unexpected(Reason::kNoSuchPort);
  return with_hash(ChosenTarget{.asked = asked, .service = asked, .port = port}, worker, record, seen);
}

}  // namespace leat::proxy
