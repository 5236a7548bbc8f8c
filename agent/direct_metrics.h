// Kernel-direct connections as Istio counts them: the same names and labels that the proxy gives those that it carries.
#pragma once

#include <vector>

#include "agent/capture/capture.h"
#include "agent/flow_view.h"
#include "leat.pb.h"

namespace leat::agent {

// Adds istio_tcp_* of both sides, for both pods are here. What the proxy counted under the same labels is in `reply`
// already, and is added to.
void add_direct_tcp(const FlowNames& names, std::string_view trust_domain,
                    const std::vector<capture::DirectEdge>& edges, v1::ApiReply& reply);

}  // namespace leat::agent
