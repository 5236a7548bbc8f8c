// DestinationRule as Istio has it -> the object.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

Object read_destination_rule(const Field& root, Meta meta);

}  // namespace leat::control
