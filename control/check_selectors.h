// Policies of a namespace that hold for the pods that a selector names (PeerAuthentication, Telemetry).
#pragma once

#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/pods.h"

namespace leat::control {

// The one that holds for a pod: the first, which is the oldest. Null: none.
template <typename Policy>
const Policy* policy_for(const Pod& pod, const std::vector<const Policy*>& policies) {
  const auto found =
      std::ranges::find_if(policies, [&](const Policy* policy) { return selects(policy->selector, pod.meta.labels); });
  return found == policies.end() ? nullptr : *found;
}

// Names those that select no pod, and those that come second for one; `loses(loser, winner, pod)` makes the finding.
template <typename Policy, typename Loses>
void check_selectors(const std::string& ns, const std::vector<const Policy*>& policies, const PodTable& pods,
                     Loses loses, Findings& findings) {
  std::vector<bool> used(policies.size()), named(policies.size());
  pods.each_of(ns, [&](const LivePod& live) {
    const Policy* winner = nullptr;
    for (size_t i = 0; i < policies.size(); ++i) {
      if (!selects(policies[i]->selector, live.pod->meta.labels)) continue;
      used[i] = true;
      if (winner == nullptr) {
        winner = policies[i];
      } else if (!named[i]) {
        named[i] = true;
        findings.push_back(loses(*policies[i], *winner, describe(Pod::kKind, live.pod->meta.name)));
      }
    }
  });
  for (size_t i = 0; i < policies.size(); ++i) {
    if (!used[i]) findings.push_back(finding_on(Severity::kWarning, *policies[i], "spec.selector", "selects no pod"));
  }
}

}  // namespace leat::control
