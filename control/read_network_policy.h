// NetworkPolicy as Kubernetes has it -> the object.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

// A policy of which something can't be read limits nothing here: what is wrong with it is a finding, and any other one
// about it could be untrue. It never holds back the rest of its file, for Leat puts no policy in force.
Object read_network_policy(const Field& root, Meta meta);

}  // namespace leat::control
