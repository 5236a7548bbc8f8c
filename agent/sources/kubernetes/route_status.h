// What a route's status must become: a JSON patch of the entries of `status.parents[]` that are Leat's. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/sources/kubernetes/object_facts.h"
#include "leat.pb.h"

namespace leat::sources {

// `statuses`: what became of the route at each of its parents that are Services, in the order of its spec. `now`: RFC
// 3339. Nothing where the server has all of it; other controllers' entries stay as they are. The patch holds for the
// version of the object that the facts are of, and for no other.
std::optional<std::string> status_patch(const ObjectFacts& facts, const std::vector<const v1::RouteStatus*>& statuses,
                                        const std::string& now);

}  // namespace leat::sources
