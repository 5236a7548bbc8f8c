#include "control/other_meshes.h"

#include <array>
#include <string_view>

#include <fmt/format.h>

namespace leat::control {
namespace {

// What their injectors and node agents write on the pods that they have.
struct Mark {
  const char* annotation;
  std::string_view value;  // empty: any
  std::string_view mesh;
};
constexpr std::array kMarks = {
    Mark{"ambient.istio.io/redirection", "enabled", "Istio's ztunnel"},
    Mark{"sidecar.istio.io/status", "", "an Istio sidecar"},
    Mark{"linkerd.io/proxy-version", "", "a Linkerd sidecar"},
};

}  // namespace

std::optional<std::string> other_mesh_of(const Pod& pod) {
  for (const Mark& mark : kMarks) {
    const auto found = pod.meta.annotations.find(mark.annotation);
    if (found == pod.meta.annotations.end() || (!mark.value.empty() && found->second != mark.value)) continue;
    return fmt::format("{} (annotation {})", mark.mesh, mark.annotation);
  }
  return std::nullopt;
}

}  // namespace leat::control
