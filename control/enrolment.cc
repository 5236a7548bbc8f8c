#include "control/enrolment.h"

#include <string_view>

#include <fmt/format.h>

#include "control/runtimes.h"

namespace leat::control {
namespace {

std::string_view mesh_label(const Labels& labels) {
  const auto found = labels.find(kMeshLabel);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

}  // namespace

bool is_enrolled(const Namespace& space) { return mesh_label(space.meta.labels) == "enabled"; }

bool is_running(const Pod& pod) { return pod.phase.empty() || pod.phase == "Running"; }

std::string why_outside(const Pod& pod, const ObjectSet& objects) {
  const std::string& ns = pod.meta.name.ns;
  const auto* space = objects.find<Namespace>({"", ns});
  if (space == nullptr) return fmt::format("there is no Namespace object {}", ns);
  if (!is_enrolled(*space)) return fmt::format("namespace {} has no label {}: enabled", ns, kMeshLabel);
  if (mesh_label(pod.meta.labels) == "disabled") return fmt::format("label {}: disabled on the pod", kMeshLabel);
  if (pod.host_network) return "hostNetwork: it has no network namespace of its own";
  if (const auto sandbox = sandbox_of(pod, objects))
    return fmt::format("{}: its sandbox has a network stack of its own", *sandbox);
  return "";
}

}  // namespace leat::control
