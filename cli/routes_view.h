// `leat routes`: what was compiled from the routing objects, and which line of which object each route comes from.
#pragma once

#include "cli/views.h"

namespace leat::cli {

// Of one namespace's hosts; empty: of all.
View routes_view(const v1::ApiReply& reply, bool wide, std::string_view ns = {});
// What became of each Gateway API route at each of its parents.
View route_statuses_view(const v1::ApiReply& reply, bool wide, std::string_view ns = {});

}  // namespace leat::cli
