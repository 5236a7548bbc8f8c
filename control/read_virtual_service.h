// VirtualService as Istio has it -> the object.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

// A condition that can't be read leaves out the whole match, and a route without a match that can be read is left out
// too: a route must never take more requests than it says.
Object read_virtual_service(const Field& root, Meta meta);

}  // namespace leat::control
