// The traffic policies of a Service: what its own fields, annotations and a DestinationRule say together, for each of
// its ports and subsets.
#pragma once

#include "control/findings.h"
#include "control/locality.h"
#include "control/objects.h"
#include "control/reads.h"
#include "leat.pb.h"

namespace leat::control {

// Writes Service.policies and who has which into `model`, whose ports, endpoints (those of `endpoints`, in that order)
// and subsets are there. `rule` may be null.
void add_policies(const Service& service, const DestinationRule* rule, const View& objects,
                  const ServiceEndpoints& endpoints, const Places& places, v1::Service& model, Findings& findings);

// Whether connections under the policy have to pass the proxy: the kernel chooses at random, and knows neither limits
// nor localities.
bool needs_proxy(const v1::TrafficPolicy& policy);

}  // namespace leat::control
