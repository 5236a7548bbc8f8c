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

route::Decision decide_by(const Service& asked, const FlowRecord& record, const route::Request& request) {
  return route::decide(asked.route_tables(), request,
                       {.namespace_ = record.source->namespace_, .labels = record.source->labels});
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
  chosen.destination = &route::pick(route, random);
  RouteTarget target = mesh.resolve(*chosen.destination, record.requested.port, ipv6);
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

}  // namespace

Outcome<ChosenTarget> choose_target(Worker& worker, FlowRecord& record, const http1::RequestHead& request,
                                    const IpAddress& alias) {
  const MeshRef mesh = worker.mesh();
  const std::optional<Destination> to = mesh->destination(alias);
  if (!to) return std::unexpected(Reason::kNotAnAlias);
  if (record.service != to->service) record.service = to->service;
  if (!to->service) return std::unexpected(Reason::kTargetGone);

  const bool ipv6 = !to->address.is_v4();
  const FindHeader find{request.fields()};
  const route::Request seen = view_of(request, record.requested.port, find);
  const route::Decision decision = decide_by(*to->service, record, seen);
  switch (decision.kind) {
    case route::Decision::Kind::kNoMatch:
      return std::unexpected(Reason::kNoRoute);
    case route::Decision::Kind::kRouted:
      return with_hash(follow(*decision.route,
                              {.asked = to->service, .matched_path = decision.matched_path(request.path_and_query())},
                              *mesh, record, ipv6, worker.draw()),
                       worker, record, seen);
    case route::Decision::Kind::kUnrouted:
      break;
  }
  const Service::Port* port = to->service->find_port(record.requested.port, ipv6);
  if (!port) return std::unexpected(Reason::kNoSuchPort);
  return with_hash(ChosenTarget{.asked = to->service, .service = to->service, .port = port}, worker, record, seen);
}

}  // namespace leat::proxy
