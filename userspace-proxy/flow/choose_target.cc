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

route::Decision decide_by(const Service& asked, const FlowRecord& record, const http1::RequestHead& request) {
  const auto find = [&](std::string_view name, std::string& joined) {
    return value_of(request.fields(), name, joined);
  };
  const std::string_view target = request.path_and_query();
  const size_t path_bytes = std::min(target.find('?'), target.size());
  return route::decide(asked.route_tables(),
                       {.method = request.method_text(),
                        .scheme = "http",
                        .authority = request.authority(),
                        .path = target.substr(0, path_bytes),
                        .query = target.substr(std::min(path_bytes + 1, target.size())),
                        .port = record.requested.port,
                        .headers = route::Headers(find)},
                       {.namespace_ = record.source->namespace_, .labels = record.source->labels});
}

// The endpoints that the route leads to.
Outcome<ChosenTarget> follow(const route::Route& route, ChosenTarget chosen, const Mesh& mesh, FlowRecord& record,
                             bool ipv6, uint32_t random) {
  chosen.route = &route;
  chosen.destination = &route::pick(route, random);
  RouteTarget target = mesh.resolve(*chosen.destination, record.requested.port, ipv6);
  if (target.service && record.service != target.service) record.service = target.service;
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

}  // namespace

Outcome<ChosenTarget> choose_target(Worker& worker, FlowRecord& record, const http1::RequestHead& request,
                                    const IpAddress& alias) {
  const MeshRef mesh = worker.mesh();
  const std::optional<Destination> to = mesh->destination(alias);
  if (!to) return std::unexpected(Reason::kNotAnAlias);
  if (record.service != to->service) record.service = to->service;
  if (!to->service) return std::unexpected(Reason::kTargetGone);

  const bool ipv6 = !to->address.is_v4();
  const route::Decision decision = decide_by(*to->service, record, request);
  switch (decision.kind) {
    case route::Decision::Kind::kNoMatch:
      return std::unexpected(Reason::kNoRoute);
    case route::Decision::Kind::kRouted:
      return follow(*decision.route, {.asked = to->service}, *mesh, record, ipv6, worker.draw());
    case route::Decision::Kind::kUnrouted:
      break;
  }
  const Service::Port* port = to->service->find_port(record.requested.port, ipv6);
  if (!port) return std::unexpected(Reason::kNoSuchPort);
  return ChosenTarget{.asked = to->service, .service = to->service, .port = port};
}

}  // namespace leat::proxy
