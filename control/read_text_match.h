// Istio's StringMatch: how a text must look.
#pragma once

#include "control/field.h"
#include "leat.pb.h"

namespace leat::control {

// What a condition without a text means.
enum class Empty : uint8_t { kPresent, kWrong };

void read_text_match(const Field& field, Empty empty, v1::StringMatch& match);

}  // namespace leat::control
