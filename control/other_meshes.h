// Other meshes that have a pod: their rules stand in its network namespace, and would take what Leat's proxy sends from
// there. Such a pod is left to them.
#pragma once

#include <optional>
#include <string>

#include "control/objects.h"

namespace leat::control {

// What takes the pod's traffic, and how that is known: "Istio's ztunnel (annotation ambient.istio.io/redirection)".
std::optional<std::string> other_mesh_of(const Pod& pod);

}  // namespace leat::control
