// What mutual TLS mode holds for a pod: the narrowest PeerAuthentication that says one, of the workload, its namespace
// or the whole mesh.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"

namespace leat::control {

struct PodMtls {
  v1::MtlsMode mode = v1::MTLS_PERMISSIVE;
  std::map<uint16_t, v1::MtlsMode> ports;  // only those that differ from `mode`
};

class PeerPolicies {
 public:
  // Where several policies of one width hold for the same, the oldest wins, then the first by name; the others are
  // findings.
  PeerPolicies(const ObjectSet& objects, const std::string& root_namespace, Findings& findings);

  // A second workload policy for one pod is a finding on that policy.
  PodMtls for_pod(const Pod& pod, Findings& findings);
  // Call after all pods: selectors that matched none.
  void report_unused(Findings& findings) const;

 private:
  struct WorkloadPolicy {
    const PeerAuthentication* policy = nullptr;
    bool used = false;
    bool conflict_named = false;
  };
  Mode mesh_mode_;
  std::map<std::string, Mode> namespace_modes_;
  std::map<std::string, std::vector<WorkloadPolicy>> workload_policies_;  // by namespace, the oldest first
};

}  // namespace leat::control
