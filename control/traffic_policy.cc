#include "control/traffic_policy.h"

#include <algorithm>

namespace leat::control {
namespace {

template <typename Section>
void take(std::optional<Section>& into, const std::optional<Section>& section) {
  if (section) into = section;
}

void apply(const TrafficPolicySpec& spec, uint16_t port, PolicySections& merged) {
  take(merged.load_balancer, spec.all.load_balancer);
  take(merged.limits, spec.all.limits);
  take(merged.outliers, spec.all.outliers);
  take(merged.tls, spec.all.tls);
  take(merged.retry_budget, spec.all.retry_budget);
  const auto own = spec.ports.find(port);
  if (own == spec.ports.end()) return;
  auto retry_budget = std::move(merged.retry_budget);
  merged = own->second;
  merged.retry_budget = std::move(retry_budget);
}

bool covers(const std::string& pattern, const std::string& name) { return pattern.empty() || pattern == name; }

}  // namespace

PolicySections merge(const TrafficPolicySpec& rule, const TrafficPolicySpec* subset, uint16_t port) {
  PolicySections merged;
  apply(rule, port, merged);
  if (subset != nullptr) apply(*subset, port, merged);
  return merged;
}

LocalityName parse_locality(std::string_view text) {
  LocalityName name;
  for (std::string* part : {&name.region, &name.zone, &name.subzone}) {
    const std::string_view next = text.substr(0, text.find('/'));
    if (next != "*") *part = next;
    text.remove_prefix(std::min(next.size() + 1, text.size()));
  }
  return name;
}

bool covers(const LocalityName& pattern, const LocalityName& name) {
  return covers(pattern.region, name.region) && covers(pattern.zone, name.zone) &&
         covers(pattern.subzone, name.subzone);
}

}  // namespace leat::control
