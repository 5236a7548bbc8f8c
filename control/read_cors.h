// VirtualService.http[].corsPolicy: which pages of other origins may see the answers.
#pragma once

#include "control/field.h"
#include "leat.pb.h"

namespace leat::control {

v1::Cors read_cors(const Field& policy);

}  // namespace leat::control
