#include "control/enrolment.h"

#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "control/other_meshes.h"
#include "control/runtimes.h"

namespace leat::control {
namespace {

std::string_view value_of(const Labels& labels, const char* name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

struct Word {
  bool in = false;
  std::string label;  // with its value
};

// Nothing: the labels do not speak of the mesh, or say what nobody understands.
std::optional<Word> word_of(const Labels& labels, const ObjectSet& objects) {
  const std::string_view own = value_of(labels, kMeshLabel);
  if (own == "enabled" || own == "disabled") return Word{own == "enabled", fmt::format("{}: {}", kMeshLabel, own)};
  const auto* settings = objects.find<AgentSettings>({"", "default"});
  if (settings == nullptr || !settings->ambient_label) return std::nullopt;
  const std::string_view ambient = value_of(labels, kAmbientLabel);
  if (ambient != "ambient" && ambient != "none") return std::nullopt;
  return Word{ambient == "ambient", fmt::format("{}: {}", kAmbientLabel, ambient)};
}

}  // namespace

bool is_enrolled(const Namespace& space, const ObjectSet& objects) {
  const auto word = word_of(space.meta.labels, objects);
  return word && word->in;
}

bool is_running(const Pod& pod) { return pod.phase.empty() || pod.phase == "Running"; }

LabelsSay labels_say(const Pod& pod, const ObjectSet& objects) {
  const std::string& ns = pod.meta.name.ns;
  const auto* space = objects.find<Namespace>({"", ns});
  if (space == nullptr) return {false, fmt::format("there is no Namespace object {}", ns)};
  const auto of_pod = word_of(pod.meta.labels, objects);
  const auto of_namespace = word_of(space->meta.labels, objects);
  if (of_pod && !of_pod->in) return {false, fmt::format("label {} on the pod", of_pod->label)};
  // Leat's own label asks for whole namespaces only.
  if (of_pod && !of_pod->label.starts_with(kMeshLabel))
    return {true, fmt::format("label {} on the pod", of_pod->label)};
  if (!of_namespace) return {false, fmt::format("namespace {} has no label {}: enabled", ns, kMeshLabel)};
  return {of_namespace->in, fmt::format("label {} on namespace {}", of_namespace->label, ns)};
}

std::string why_outside(const Pod& pod, const ObjectSet& objects) {
  LabelsSay labels = labels_say(pod, objects);
  if (!labels.asked) return std::move(labels.reason);
  if (pod.host_network) return "hostNetwork: it has no network namespace of its own";
  if (const auto sandbox = sandbox_of(pod, objects))
    return fmt::format("{}: its sandbox has a network stack of its own", *sandbox);
  if (const auto other = other_mesh_of(pod)) return fmt::format("{} takes its traffic", *other);
  return "";
}

}  // namespace leat::control
