// Pods that should have been captured before they started and were not: the node's agent or its CNI entry was not there
// yet. They are captured now like any running pod, what they did before was outside the mesh, and that is said:
// counted, logged, and told in the cluster.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "agent/sources/source.h"
#include "common/enrolled_namespaces.h"
#include "common/result.h"
#include "control/objects.h"

namespace leat::agent {

class LatePods {
 public:
  static constexpr char kReason[] = "CapturedLate";

  struct Captured {
    const control::Pod* pod;
    std::string uid;
    bool attached;  // held back by the plugin until it was captured
  };

  struct Found {
    bool changed = false;  // there are other pods to be remembered (save())
    std::vector<sources::PodEvent> events;
  };
  // The pods of this node that are captured now.
  Found look(const std::vector<Captured>& captured, const cni::EnrolledNamespaces& enrolled);

  [[nodiscard]] uint64_t count() const { return count_; }

  // Pods that have been told of, over restarts of the agent.
  [[nodiscard]] std::string save() const;
  void load(std::string_view text);

 private:
  std::set<std::string> told_;  // uids of pods that are captured still
  uint64_t count_ = 0;
};

}  // namespace leat::agent
