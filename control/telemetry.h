// What Telemetry objects say for a pod: field by field the narrowest one that says it, of the pod, its namespace or the
// whole mesh, as in Istio.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"

namespace leat::control {

class TelemetryPolicies {
 public:
  // Where several objects of one width hold for the same, the oldest wins, then the first by name; the others are
  // findings.
  TelemetryPolicies(const ObjectSet& objects, const std::string& root_namespace, Findings& findings);

  // Nothing: no object says anything for it. A second object with a selector for one pod is a finding on it.
  std::optional<v1::Telemetry> for_pod(const Pod& pod, Findings& findings);
  // Call after all pods: selectors that matched none.
  void report_unused(Findings& findings) const;

 private:
  struct WorkloadPolicy {
    const Telemetry* policy = nullptr;
    bool used = false;
    bool conflict_named = false;
  };
  const Telemetry* workload_policy(const Pod& pod, Findings& findings);

  const Telemetry* mesh_policy_ = nullptr;
  std::map<std::string, const Telemetry*> namespace_policies_;
  std::map<std::string, std::vector<WorkloadPolicy>> workload_policies_;  // by namespace, the oldest first
};

}  // namespace leat::control
