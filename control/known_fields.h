// Which fields the kinds have that Leat reads. A field outside this list is most likely a typing error, and would be
// ignored in silence.
#pragma once

#include <string_view>

#include "control/field.h"

namespace leat::control {

// Names every unknown field, every field given twice, and every one that is known but not supported, with what happens
// instead. Goes as deep as Leat reads; what lies deeper belongs to others and is accepted.
void check_known_fields(std::string_view kind, const Field& root);

}  // namespace leat::control
