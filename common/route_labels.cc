#include "common/route_labels.h"

#include <map>

#include <fmt/format.h>

namespace leat {

std::vector<std::string> route_labels(const v1::RouteTable& table) {
  std::map<std::string, size_t> seen;  // by object: delegates bring routes of several
  std::vector<std::string> labels;
  for (const v1::HttpRoute& route : table.routes()) {
    const v1::Origin& origin = route.origin();
    const std::string object = fmt::format("{} {}/{}", origin.kind(), origin.namespace_(), origin.name());
    const size_t place = seen[object]++;
    labels.push_back(fmt::format("{} {}", object, route.name().empty() ? fmt::format("[{}]", place) : route.name()));
  }
  return labels;
}

}  // namespace leat
