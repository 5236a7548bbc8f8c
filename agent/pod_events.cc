#include "agent/pod_events.h"

#include <utility>

#include <fmt/format.h>

namespace leat::agent {

std::optional<sources::PodEvent> pod_event(const Reconciler::PodState& pod, const std::string& before,
                                           bool captured_before, bool runs) {
  const v1::Workload& workload = pod.pod.workload;
  const auto event = [&workload](bool warning, const char* reason, std::string note) {
    return sources::PodEvent{.pod = {workload.namespace_(), workload.name()},
                             .uid = workload.uid(),
                             .warning = warning,
                             .reason = reason,
                             .note = std::move(note)};
  };
  if (pod.enrolment == "failed")
    return event(true, kCaptureFailed,
                 fmt::format("leat: the pod's new connections are not in the mesh: {}; it is tried again", pod.reason));
  if (pod.enrolment == "enrolled" && before != "enrolled" && !(before.empty() && captured_before))
    return event(
        false, kEnrolled,
        fmt::format("leat: new connections of the pod are in the mesh ({}); those that it has stay as they are",
                    pod.reason));
  if (pod.enrolment == "released" && before != "released" && runs)
    return event(false, kReleased,
                 fmt::format("leat: new connections of the pod are outside the mesh ({}); those that it has go on as "
                             "they are",
                             pod.reason));
  return std::nullopt;
}

}  // namespace leat::agent
