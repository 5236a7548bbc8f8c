// A pod as the mesh model has it.
#pragma once

#include <cstdint>

#include "control/peer_authentication.h"
#include "control/pods.h"
#include "leat.pb.h"

namespace leat::control {

// What the pod is to the node whose view it is.
struct Standing {
  bool local = false;
  bool captured = false;
  uint32_t slot = PodSlots::kNone;  // of a captured pod of this node
};

// All but what a Telemetry says of it.
void fill_workload(const LivePod& live, const PodMtls& mtls, const LocalityName& place, const Standing& standing,
                   v1::Workload& workload);

}  // namespace leat::control
