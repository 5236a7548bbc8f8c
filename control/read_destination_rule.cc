#include "control/read_destination_rule.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/read_traffic_policy.h"

namespace leat::control {
namespace {

void check_visibility(const Field& export_to) {
  const auto items = export_to.items();
  if (!items.empty() && std::ranges::none_of(items, [](const Field& item) { return item.text_or() == "*"; }))
    export_to.warn("not supported yet, ignored: the rule holds for clients of all namespaces");
}

void read_subset(const Field& field, DestinationRule& rule) {
  SubsetSpec subset{
      .name = field["name"].text_or(), .labels = field["labels"].labels(), .place = {field.path(), field.line()}};
  if (subset.name.empty()) return field["name"].error("missing; the subset is left out");
  if (std::ranges::find(rule.subsets, subset.name, &SubsetSpec::name) != rule.subsets.end())
    return field["name"].error(fmt::format("a second subset '{}'; the first one counts", subset.name));
  subset.policy = read_traffic_policy(field["trafficPolicy"]);
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
  check_visibility(spec["exportTo"]);
  return rule;
}

}  // namespace leat::control
