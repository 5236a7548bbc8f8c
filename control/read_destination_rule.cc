#include "control/read_destination_rule.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/read_traffic_policy.h"
#include "control/read_visibility.h"

namespace leat::control {
namespace {

void read_clients(const Field& spec, DestinationRule& rule) {
  const Field export_to = spec["exportTo"];
  const std::string& own = rule.meta.name.ns;
  rule.visible_to = read_visibility(export_to, own);
  const Field selector = spec["workloadSelector"];
  if (!selector.present()) return;
  rule.clients = selector["matchLabels"].labels();
  if (!export_to.items().empty() && rule.visible_to != std::vector{own})
    export_to.warn(
        fmt::format("ignored: with a workloadSelector the rule is for pods of its own namespace, '{}'", own));
  rule.visible_to.reset();
}

void read_subset(const Field& field, DestinationRule& rule) {
  SubsetSpec subset{
      .name = field["name"].text_or(), .labels = field["labels"].labels(), .place = {field.path(), field.line()}};
  if (subset.name.empty()) return field["name"].error("missing; the subset is left out");
  if (std::ranges::find(rule.subsets, subset.name, &SubsetSpec::name) != rule.subsets.end())
    return field["name"].error(fmt::format("a second subset '{}'; the first one counts", subset.name));
  subset.policy = read_traffic_policy(field["trafficPolicy"]);
  if (auto& balancer = subset.policy.all.load_balancer; balancer && balancer->algorithm == v1::LB_PASSTHROUGH) {
    field["trafficPolicy"].warn("PASSTHROUGH is for whole Services: of a subset it is ignored");
    balancer->algorithm = v1::LB_LEAST_REQUEST;
  }
  rule.subsets.push_back(std::move(subset));
}

}  // namespace

Object read_destination_rule(const Field& root, Meta meta) {
  DestinationRule rule{.meta = std::move(meta)};
  const Field spec = root["spec"];
  rule.host = spec["host"].text_or();
  if (rule.host.empty()) spec["host"].fatal("missing: say which Service the rule is for; the object is left out");
  rule.policy = read_traffic_policy(spec["trafficPolicy"]);
  rule.policy_place = {spec["trafficPolicy"].path(), spec["trafficPolicy"].line()};
  read_balancing_annotations(root["metadata"], rule.policy);
  for (const Field& item : spec["subsets"].items()) read_subset(item, rule);
  read_clients(spec, rule);
  return rule;
}

}  // namespace leat::control
