// Where a Kubernetes node has the cgroups of its pods and of its kubelet: distributions and cgroup drivers differ, so
// the usual places are looked at.
#pragma once

#include <string>

#include "common/result.h"

namespace leat::agent {

struct NodeCgroups {
  std::string pods;     // every pod's processes are below it
  std::string kubelet;  // empty: it is in none of the known places, so its probes are as anybody's
};

// `mounts`: where the machine mounts its hierarchies. cgroup2 is there alone, or in the folder `unified` (hybrid).
Result<NodeCgroups> find_node_cgroups(const std::string& mounts = "/sys/fs/cgroup");

}  // namespace leat::agent
