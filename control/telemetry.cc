#include "control/telemetry.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "control/check_selectors.h"

namespace leat::control {
namespace {

v1::Finding loses_to(const Telemetry& loser, const Telemetry& winner, std::string_view where) {
  return finding_on(Severity::kError, loser, "spec",
                    fmt::format("has no effect on {}: {} holds there and comes first", where,
                                describe(Telemetry::kKind, winner.meta.name)));
}

void overlay(const Telemetry* policy, v1::Telemetry& out) {
  if (policy == nullptr) return;
  if (policy->sampling_percent) out.set_sampling_percent(*policy->sampling_percent);
  if (policy->tracing_disabled) out.set_tracing_disabled(*policy->tracing_disabled);
  if (policy->tags) out.mutable_tags()->Assign(policy->tags->begin(), policy->tags->end());
  if (!policy->access_log) return;
  out.set_access_log(policy->access_log->on);
  out.set_access_log_filter(policy->access_log->filter);
}

}  // namespace

TelemetryPolicies::TelemetryPolicies(const View& objects, const std::string& root_namespace, Findings& findings) {
  std::vector<const Telemetry*> policies;
  for (const auto& [name, policy] : objects.all<Telemetry>()) policies.push_back(&policy);
  std::ranges::sort(policies, [](const auto* left, const auto* right) { return is_older(left->meta, right->meta); });
  for (const Telemetry* policy : policies) {
    const std::string& ns = policy->meta.name.ns;
    if (!policy->selector.empty()) {
      workload_policies_[ns].push_back(policy);
      continue;
    }
    const auto [winner, first] = namespace_policies_.emplace(ns, policy);
    if (!first)
      findings.push_back(loses_to(*policy, *winner->second, ns == root_namespace ? "the mesh" : "namespace " + ns));
  }
  const auto mesh_wide = namespace_policies_.find(root_namespace);
  if (mesh_wide != namespace_policies_.end()) mesh_policy_ = mesh_wide->second;
}

std::optional<v1::Telemetry> TelemetryPolicies::for_pod(const Pod& pod) const {
  const auto of_namespace = namespace_policies_.find(pod.meta.name.ns);
  const Telemetry* space = of_namespace == namespace_policies_.end() ? nullptr : of_namespace->second;
  const auto candidates = workload_policies_.find(pod.meta.name.ns);
  const Telemetry* workload = candidates == workload_policies_.end() ? nullptr : policy_for(pod, candidates->second);
  if (mesh_policy_ == nullptr && space == nullptr && workload == nullptr) return std::nullopt;
  v1::Telemetry out;
  for (const Telemetry* policy : {mesh_policy_, space, workload}) overlay(policy, out);
  return out;
}

Findings TelemetryPolicies::check(const std::string& ns, const PodTable& pods) const {
  Findings findings;
  const auto policies = workload_policies_.find(ns);
  if (policies != workload_policies_.end()) check_selectors(ns, policies->second, pods, loses_to, findings);
  return findings;
}

}  // namespace leat::control
