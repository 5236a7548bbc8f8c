// What is said of a pod in the cluster when its enrolment turns. Pure.
#pragma once

#include <optional>
#include <string>

#include "agent/reconciler.h"
#include "agent/sources/source.h"

namespace leat::agent {

inline constexpr char kEnrolled[] = "Enrolled", kReleased[] = "Released", kCaptureFailed[] = "CaptureFailed";

// `before`: its enrolment until now, empty for a pod that is new to this agent. `captured_before`: by an agent before
// this one, which has said so. `runs`: the pod has not ended. Nothing where nothing turned for whoever looks after it.
std::optional<sources::PodEvent> pod_event(const Reconciler::PodState& pod, const std::string& before,
                                           bool captured_before, bool runs);

}  // namespace leat::agent
