// What mutual TLS mode holds for a pod: the narrowest PeerAuthentication that says one, of the workload, its namespace
// or the whole mesh.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/pods.h"
#include "control/reads.h"

namespace leat::control {

struct PodMtls {
  v1::MtlsMode mode = v1::MTLS_PERMISSIVE;
  std::map<uint16_t, v1::MtlsMode> ports;  // only those that differ from `mode`
};

class PeerPolicies {
 public:
  // Where several policies of one width hold for the same, the oldest wins, then the first by name; the others are
  // findings.
  PeerPolicies(const View& objects, const std::string& root_namespace, Findings& findings);

  [[nodiscard]] PodMtls for_pod(const Pod& pod) const;
  // Findings on the policies with a selector: those that no pod has, and those that come second for one.
  [[nodiscard]] Findings check(const std::string& ns, const PodTable& pods) const;
  [[nodiscard]] const auto& with_selectors() const { return workload_policies_; }

 private:
  Mode mesh_mode_;
  std::map<std::string, Mode> namespace_modes_;
  std::map<std::string, std::vector<const PeerAuthentication*>> workload_policies_;  // by namespace, the oldest first
};

}  // namespace leat::control
