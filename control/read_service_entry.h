// One YAML mapping of the kind ServiceEntry -> the object.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

Object read_service_entry(const Field& root, Meta meta);

}  // namespace leat::control
