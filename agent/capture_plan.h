// control's plan of this node, with what only the agent knows, as the kernel side takes it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "agent/capture/capture.h"
#include "control/compile.h"

namespace leat::agent {

using SourceAliases = std::map<uint32_t, IpAddress>;  // ids of clients outside the model
using Ids = std::set<uint32_t>;

// What would send a connection to one of the ids `withheld` is left out: a destination only decodes, a direct service
// takes the way through the proxy.
capture::Plan to_capture_plan(const control::CapturePlan& plan, const Ids& withheld);
void add_aliases(const std::vector<control::PlannedAlias>& aliases, const Ids& withheld, capture::Plan& plan);
}  // namespace leat::agent
