// A request -> its route -> one of the route's destinations.
#pragma once

#include <cstdint>
#include <span>

#include "userspace-proxy/route/request.h"
#include "userspace-proxy/route/table.h"

namespace leat::proxy::route {

struct Decision {
  enum class Kind : uint8_t {
    kUnrouted,  // no table holds for this client: the request goes to the endpoints of the Service that it asked for
    kRouted,    // `route` holds
    kNoMatch,   // a table holds and none of its routes matches: 404
  };
  Kind kind = Kind::kUnrouted;
  const Route* route = nullptr;    // lives as long as the tables
  const Matcher* match = nullptr;  // of `route`, the first that holds; null where it takes every request

  [[nodiscard]] MatchedPath matched_path(std::string_view path) const {
    return match ? match->matched_path(path) : MatchedPath{.bytes = 1};
  }
};

Decision decide(std::span<const Table> tables, const Request& request, const Client& client);

// By weight. `random` is uniform over all 32 bits.
const Destination& pick(std::span<const Destination> destinations, uint32_t random);

}  // namespace leat::proxy::route
