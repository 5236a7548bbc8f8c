// A Secret, of which only what makes TLS credentials is read.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

Object read_secret(const Field& root, Meta meta);

}  // namespace leat::control
