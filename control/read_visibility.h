// `exportTo`: the namespaces whose clients an object is for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/field.h"

namespace leat::control {

// Ascending; nothing: all. `own`: the object's.
std::optional<std::vector<std::string>> read_visibility(const Field& export_to, const std::string& own);

}  // namespace leat::control
