// The destinations of a VirtualService's routes and the shares that they get, of HTTP, TLS and TCP alike.
#pragma once

#include <vector>

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

RouteDestination read_destination(const Field& destination);

// Of a `route` list: hosts, header edits, and weights as shares of which one at least is not 0. `consequence`: of a
// destination without a host. False: there is none at all.
bool read_destinations(const Field& list, std::string_view consequence, std::vector<RouteDestination>& destinations);

}  // namespace leat::control
