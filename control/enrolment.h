// What labels say of being in the mesh: `leat.dev/mesh: enabled` on a namespace asks for its pods, `disabled` on a pod
// wins. Whether a pod that is asked for can be captured now is another question (pods.h, enrolment_of).
#pragma once

#include <string>

#include "control/objects.h"

namespace leat::control {

inline constexpr char kMeshLabel[] = "leat.dev/mesh";

bool is_enrolled(const Namespace& space);

// Its programs run, as far as its object says; one from a file that says nothing does.
bool is_running(const Pod& pod);

// Empty: the pod belongs into the mesh. Otherwise why it is left alone, whatever becomes of it.
std::string why_outside(const Pod& pod, const ObjectSet& objects);

}  // namespace leat::control
