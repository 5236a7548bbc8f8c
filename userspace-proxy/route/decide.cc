#include "userspace-proxy/route/decide.h"

#include <algorithm>

namespace leat::proxy::route {
namespace {

// The first condition of `route` that holds, and whether one does.
struct Applies {
  bool yes = false;
  const Matcher* match = nullptr;
};

Applies applies(const Route& route, const Request& request, const Client& client) {
  if (route.matches.empty()) return {.yes = true};
  const auto match =
      std::ranges::find_if(route.matches, [&](const Matcher& each) { return each.matches(request, client); });
  return match == route.matches.end() ? Applies{} : Applies{true, &*match};
}

}  // namespace

Decision decide(std::span<const Table> tables, const Request& request, const Client& client) {
  const auto table =
      std::ranges::find_if(tables, [&](const Table& each) { return each.is_visible_to(client.namespace_); });
  if (table == tables.end() || table->routes.empty()) return {Decision::Kind::kUnrouted};
  for (const Route& route : table->routes) {
    if (const Applies found = applies(route, request, client); found.yes)
      return {Decision::Kind::kRouted, &route, found.match};
  }
  return {Decision::Kind::kNoMatch};
}

const Destination& pick(std::span<const Destination> destinations, uint32_t random) {
  // [0, 2^32) onto [0, sum): exact to one part in 2^32 / sum.
  const auto point = static_cast<uint64_t>(static_cast<unsigned __int128>(random) * destinations.back().end >> 32);
  return *std::ranges::upper_bound(destinations, point, {}, &Destination::end);
}

}  // namespace leat::proxy::route
