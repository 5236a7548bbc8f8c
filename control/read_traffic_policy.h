// A trafficPolicy of a DestinationRule as Istio has it -> its sections.
#pragma once

#include "control/field.h"
#include "control/traffic_policy.h"

namespace leat::control {

// With its portLevelSettings.
TrafficPolicySpec read_traffic_policy(const Field& policy);

// What the annotations of a DestinationRule add: algorithms and bounds that Istio has no field for.
void read_balancing_annotations(const Field& metadata, TrafficPolicySpec& policy);

// The annotation leat.dev/load-balancing of a Service or a DestinationRule.
inline constexpr char kBalancingAnnotation[] = "leat.dev/load-balancing";
std::optional<v1::LoadBalancing> parse_balancing(std::string_view text);

}  // namespace leat::control
