// What the routes of a table are called where they are counted and shown: "VirtualService shop/backend canary", and
// where a route has no name, by its place among those of its object: "VirtualService shop/backend [0]".
#pragma once

#include <string>
#include <vector>

#include "leat.pb.h"

namespace leat {

// In the table's order.
std::vector<std::string> route_labels(const v1::RouteTable& table);

}  // namespace leat
