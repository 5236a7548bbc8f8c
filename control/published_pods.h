// The pods of other nodes, as their agents publish them (NodeWorkloads). An agent is believed about pods of its own
// node, and only where nothing that the control plane says speaks against it.
#pragma once

#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"

namespace leat::control {

// Without those of `own_node`, and those that there is a Pod object for: it knows better. A pod that claims an address
// which an EndpointSlice has on another node, or which is a Service's, is left out with a finding.
std::vector<const Pod*> published_pods(const ObjectSet& objects, const std::string& own_node, Findings& findings);

}  // namespace leat::control
