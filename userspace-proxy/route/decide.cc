#include "userspace-proxy/route/decide.h"

#include <algorithm>

namespace leat::proxy::route {
namespace {

bool applies(const Route& route, const Request& request, const Client& client) {
  return route.matches.empty() ||
         std::ranges::any_of(route.matches, [&](const Matcher& match) { return match.matches(request, client); });
}

}  // namespace

Decision decide(std::span<const Table> tables, const Request& request, const Client& client) {
  const auto table =
      std::ranges::find_if(tables, [&](const Table& each) { return each.is_visible_to(client.namespace_); });
  if (table == tables.end()) return {Decision::Kind::kUnrouted};
  const auto route =
      std::ranges::find_if(table->routes, [&](const Route& each) { return applies(each, request, client); });
  if (route == table->routes.end()) return {Decision::Kind::kNoMatch};
  return {Decision::Kind::kRouted, &*route};
}

const Destination& pick(const Route& route, uint32_t random) {
  // [0, 2^32) onto [0, sum): exact to one part in 2^32 / sum.
  const auto point =
      static_cast<uint64_t>(static_cast<unsigned __int128>(random) * route.destinations.back().end >> 32);
  return *std::ranges::upper_bound(route.destinations, point, {}, &Destination::end);
}

}  // namespace leat::proxy::route
