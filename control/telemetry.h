// What Telemetry objects say for a pod: field by field the narrowest one that says it, of the pod, its namespace or the
// whole mesh, as in Istio.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/pods.h"
#include "control/reads.h"

namespace leat::control {

class TelemetryPolicies {
 public:
  // Where several objects of one width hold for the same, the oldest wins, then the first by name; the others are
  // findings.
  TelemetryPolicies(const View& objects, const std::string& root_namespace, Findings& findings);

  // Nothing: no object says anything for it.
  [[nodiscard]] std::optional<v1::Telemetry> for_pod(const Pod& pod) const;
  // Findings on the objects with a selector: those that no pod has, and those that come second for one.
  [[nodiscard]] Findings check(const std::string& ns, const PodTable& pods) const;
  [[nodiscard]] const auto& with_selectors() const { return workload_policies_; }

 private:
  const Telemetry* mesh_policy_ = nullptr;
  std::map<std::string, const Telemetry*> namespace_policies_;
  std::map<std::string, std::vector<const Telemetry*>> workload_policies_;  // by namespace, the oldest first
};

}  // namespace leat::control
