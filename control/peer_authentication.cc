#include "control/peer_authentication.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/check_selectors.h"

namespace leat::control {
namespace {

v1::Finding loses_to(const PeerAuthentication& loser, const PeerAuthentication& winner, std::string_view where) {
  return finding_on(Severity::kError, loser, "spec",
                    fmt::format("has no effect on {}: {} holds there and comes first", where,
                                describe(winner.kKind, winner.meta.name)));
}

}  // namespace

PeerPolicies::PeerPolicies(const View& objects, const std::string& root_namespace, Findings& findings) {
  std::vector<const PeerAuthentication*> policies;
  for (const auto& [name, policy] : objects.all<PeerAuthentication>()) policies.push_back(&policy);
  std::ranges::sort(policies, [](const auto* left, const auto* right) { return is_older(left->meta, right->meta); });

  std::map<std::string, const PeerAuthentication*> namespace_policies;
  for (const PeerAuthentication* policy : policies) {
    const std::string& ns = policy->meta.name.ns;
    if (!policy->selector.empty()) {
      workload_policies_[ns].push_back(policy);
      continue;
    }
    const bool mesh_wide = ns == root_namespace;
    const auto [winner, first] = namespace_policies.emplace(ns, policy);
    if (!first) {
      findings.push_back(loses_to(*policy, *winner->second, mesh_wide ? "the mesh" : "namespace " + ns));
    } else if (mesh_wide) {
      mesh_mode_ = policy->mode;
    } else {
      namespace_modes_[ns] = policy->mode;
    }
  }
}

PodMtls PeerPolicies::for_pod(const Pod& pod) const {
  // Who knows that it leaves comes in plaintext already.
  if (pod.leaving) return {.mode = v1::MTLS_PERMISSIVE};
  const std::string& ns = pod.meta.name.ns;
  Mode mode = mesh_mode_;
  if (const auto space = namespace_modes_.find(ns); space != namespace_modes_.end() && space->second)
    mode = space->second;
  PodMtls result{.mode = mode.value_or(v1::MTLS_PERMISSIVE)};

  const auto candidates = workload_policies_.find(ns);
  if (candidates == workload_policies_.end()) return result;
  const PeerAuthentication* winner = policy_for(pod, candidates->second);
  if (winner == nullptr) return result;
  result.mode = winner->mode.value_or(result.mode);
  for (const auto& [port, port_mode] : winner->port_modes) {
    if (port_mode && *port_mode != result.mode) result.ports.emplace(port, *port_mode);
  }
  return result;
}

Findings PeerPolicies::check(const std::string& ns, const PodTable& pods) const {
  Findings findings;
  const auto policies = workload_policies_.find(ns);
  if (policies != workload_policies_.end()) check_selectors(ns, policies->second, pods, loses_to, findings);
  return findings;
}

}  // namespace leat::control
