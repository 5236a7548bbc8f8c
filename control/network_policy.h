// The cluster's NetworkPolicies and Leat's tunnels: a tunnel goes from the source pod's own address to TCP port 15008
// of the destination pod, so a rule that lets a peer in by the application's port alone keeps the tunnel out. Leat puts
// no policy in force; it names those that would break the mesh, and what they lack.
#pragma once

#include "control/findings.h"
#include "control/objects.h"
#include "control/pods.h"

namespace leat::control {

// One warning for a policy and direction. What no policy means to let pass is no finding, nor is what another policy
// lets pass: policies add up.
void check_network_policies(const ObjectSet& objects, const PodTable& pods, Findings& findings);

}  // namespace leat::control
