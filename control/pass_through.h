// Ports whose connections go to the very address that they asked for.
#pragma once

#include "control/destination_rule.h"
#include "control/endpoints.h"

namespace leat::control {

// Makes the Service's own addresses the endpoints of those of its ports that a rule (which may be null) passes through.
void pass_through(const Service& service, const DestinationRule* rule, ServiceEndpoints& endpoints);

}  // namespace leat::control
