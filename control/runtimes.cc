#include "control/runtimes.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace leat::control {
namespace {

// How the handlers' names begin: kata-qemu, kata-clh, runsc-kvm … are the same with other machines below them.
constexpr std::array<std::string_view, 3> kSandboxes = {"runsc", "gvisor", "kata"};

bool is_sandbox(std::string_view handler, const ObjectSet& objects) {
  const auto* mesh = objects.find<Mesh>({"", "default"});
  return std::ranges::any_of(kSandboxes, [&](std::string_view known) { return handler.starts_with(known); }) ||
         (mesh != nullptr && std::ranges::find(mesh->sandboxed_runtimes, handler) != mesh->sandboxed_runtimes.end());
}

}  // namespace

std::optional<std::string> sandbox_of(const Pod& pod, const ObjectSet& objects) {
  if (pod.runtime_class.empty()) return std::nullopt;
  // Without its object, as in a folder of manifests, the class is taken to be named as its handler.
  const auto* runtime = objects.find<RuntimeClass>({"", pod.runtime_class});
  const std::string& handler = runtime != nullptr ? runtime->handler : pod.runtime_class;
  if (!is_sandbox(handler, objects)) return std::nullopt;
  return fmt::format("runtime class {} (handler {})", pod.runtime_class, handler);
}

}  // namespace leat::control
