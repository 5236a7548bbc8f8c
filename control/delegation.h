// A VirtualService that leaves an entry of its `http` to another one: how the two become one, by Istio's rules.
#pragma once

#include <optional>

#include "control/objects.h"

namespace leat::control {

// `below`, an entry of the delegate, narrowed by the conditions of `root`, and with what it says nothing of taken from
// there. Nothing where the two contradict each other: no request could match both.
std::optional<HttpRoute> merge_delegate(const HttpRoute& root, HttpRoute below);

}  // namespace leat::control
