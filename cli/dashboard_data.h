// What the dashboard's page shows, as JSON: edges as they were measured, and splits as configured beside it.
#pragma once

#include <vector>

#include "cli/edges.h"
#include "cli/output.h"
#include "leat.pb.h"

namespace leat::cli {

// `mesh`: the model, as the agent tells it of its services. `seconds`: how long was measured.
Json dashboard_json(const v1::ApiReply& mesh, const std::vector<Edge>& edges, const std::vector<RouteLoad>& loads,
                    double seconds);

}  // namespace leat::cli
