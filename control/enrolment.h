// What labels say of being in the mesh. `leat.dev/mesh: enabled` on a namespace asks for its pods, `disabled` on a pod
// lets it out. Where the agent's settings say so, the labels of Istio's ambient mode count as well:
// `istio.io/dataplane-mode: ambient` on a namespace or a pod asks for it, `none` lets it out. Of one object's labels
// Leat's wins, and a pod's word wins over its namespace's. Whether a pod that is asked for can be captured now is
// another question (pods.h, enrolment_of).
#pragma once

#include <string>

#include "control/objects.h"

namespace leat::control {

inline constexpr char kMeshLabel[] = "leat.dev/mesh";
inline constexpr char kAmbientLabel[] = "istio.io/dataplane-mode";

// The namespace asks for its pods.
bool is_enrolled(const Namespace& space, const ObjectSet& objects);

// Its programs run, as far as its object says; one from a file that says nothing does.
bool is_running(const Pod& pod);

struct LabelsSay {
  bool asked = false;
  std::string reason;  // "label leat.dev/mesh: enabled on namespace shop", or what lets it out
};
LabelsSay labels_say(const Pod& pod, const ObjectSet& objects);

// Empty: the pod belongs into the mesh. Otherwise why it is left alone, whatever becomes of it.
std::string why_outside(const Pod& pod, const ObjectSet& objects);

}  // namespace leat::control
