// Retries, as a VirtualService's route and the Mesh object write them.
#pragma once

#include "control/field.h"
#include "leat.pb.h"

namespace leat::control {

v1::RetryPolicy read_retries(const Field& field);

}  // namespace leat::control
