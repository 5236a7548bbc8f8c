#include "control/read_destination_rule.h"

#include <algorithm>

#include <fmt/format.h>

namespace leat::control {
namespace {

std::optional<v1::LoadBalancing> read_load_balancing(const Field& simple) {
  const auto text = simple.text();
  if (!text || *text == "UNSPECIFIED") return std::nullopt;
  if (*text == "LEAST_REQUEST" || *text == "LEAST_CONN") return v1::LB_LEAST_REQUEST;
  if (*text == "ROUND_ROBIN") return v1::LB_ROUND_ROBIN;
  if (*text == "RANDOM") return v1::LB_RANDOM;
  if (*text == "PASSTHROUGH") {
    simple.warn("PASSTHROUGH is not supported yet; ignored");
  } else {
    simple.error(fmt::format("must be LEAST_REQUEST, ROUND_ROBIN, RANDOM or PASSTHROUGH, not '{}'; ignored", *text));
  }
  return std::nullopt;
}

// The tunnel between captured pods is what ISTIO_MUTUAL asks for.
void check_tls(const Field& tls) {
  if (tls.present() && tls["mode"].text_or() != "ISTIO_MUTUAL")
    tls.warn("not supported yet, but for the mode ISTIO_MUTUAL, which Leat does by itself; ignored");
}

std::optional<v1::LoadBalancing> read_traffic_policy(const Field& policy) {
  check_tls(policy["tls"]);
  return read_load_balancing(policy["loadBalancer"]["simple"]);
}

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
  subset.load_balancing = read_traffic_policy(field["trafficPolicy"]);
  rule.subsets.push_back(std::move(subset));
}

}  // namespace

Object read_destination_rule(const Field& root, Meta meta) {
  DestinationRule rule{.meta = std::move(meta)};
  const Field spec = root["spec"];
  rule.host = spec["host"].text_or();
  if (rule.host.empty()) spec["host"].fatal("missing: say which Service the rule is for; the object is left out");
  rule.load_balancing = read_traffic_policy(spec["trafficPolicy"]);
  for (const Field& item : spec["subsets"].items()) read_subset(item, rule);
  check_visibility(spec["exportTo"]);
  return rule;
}

}  // namespace leat::control
