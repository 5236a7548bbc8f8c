// control's plan of this node, with what only the agent knows, as the kernel side takes it.
#pragma once

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "agent/capture/capture.h"
#include "control/compile.h"

namespace leat::agent {

using SourceAliases = std::vector<std::pair<uint32_t, IpAddress>>;  // ids of clients outside the model, by id

// Every id that the proxy must know before a connection may be sent to it.
std::set<uint32_t> proxy_ids(const control::CapturePlan& plan);

// `known`: ids that the proxy acts on already; nullptr: all. What would send a connection to another id is left out: a
// destination only decodes, a direct service takes the way through the proxy.
capture::Plan to_capture_plan(const control::CapturePlan& plan, const SourceAliases& sources,
                              const std::set<uint32_t>* known);

}  // namespace leat::agent
