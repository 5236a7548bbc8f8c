#include "agent/node_cgroups.h"

#include <array>
#include <filesystem>
#include <string_view>

#include <fmt/ranges.h>

namespace leat::agent {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kPods{
    "kubepods.slice",                        // systemd driver
    "kubepods",                              // cgroupfs driver
    "kubelet.slice/kubelet-kubepods.slice",  // a kubelet with a root of its own: kind
    "kubelet/kubepods",
};
constexpr std::array<std::string_view, 10> kKubelets{
    "system.slice/kubelet.service",
    "system.slice/k3s.service",
    "system.slice/k3s-agent.service",
    "system.slice/rke2-server.service",
    "system.slice/rke2-agent.service",
    "system.slice/k0scontroller.service",
    "system.slice/k0sworker.service",
    "system.slice/snap.microk8s.daemon-kubelite.service",
    "kubelet.slice/kubelet.service",
    "podruntime/kubelet",  // Talos
};

template <size_t N>
std::string first_of(const std::string& root, const std::array<std::string_view, N>& places) {
  std::error_code ignored;
  for (const std::string_view place : places) {
    const fs::path folder = fs::path(root) / place;
    if (fs::is_directory(folder, ignored)) return folder;
  }
  return "";
}

}  // namespace

Result<NodeCgroups> find_node_cgroups(const std::string& mounts) {
  std::error_code ignored;
  for (const std::string& root : {mounts, mounts + "/unified"}) {
    if (!fs::exists(root + "/cgroup.controllers", ignored)) continue;
    NodeCgroups found{.pods = first_of(root, kPods), .kubelet = first_of(root, kKubelets)};
    if (!found.pods.empty()) return found;
    return fail(ErrorCode::kNotFound, "the cgroup2 hierarchy {} has none of {}", root, fmt::join(kPods, ", "));
  }
  return fail(ErrorCode::kNotFound, "no cgroup2 hierarchy is mounted at {0} or {0}/unified", mounts);
}

}  // namespace leat::agent
