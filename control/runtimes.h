// Container runtimes whose sandboxes have a network stack of their own: what their pods send never is a socket of the
// node's kernel, so it can be neither captured nor given an identity.
#pragma once

#include <optional>
#include <string>

#include "control/objects.h"

namespace leat::control {

// How a person knows the runtime that keeps this pod from being enrolled: "runtime class gvisor (handler runsc)".
std::optional<std::string> sandbox_of(const Pod& pod, const ObjectSet& objects);

}  // namespace leat::control
