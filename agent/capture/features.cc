#include "agent/capture/features.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include <filesystem>
#include <memory>

#include "agent/capture/capture.h"
#include "agent/capture/cgroup.h"
#include "agent/capture/netns.h"

namespace leat::capture {

namespace {

bool kernel_struct_has(const char* structure, std::string_view member) {
  const std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
  if (!kernel) return false;
  const int id = btf__find_by_name_kind(kernel.get(), structure, BTF_KIND_STRUCT);
  if (id < 0) return false;
  const btf_type* type = btf__type_by_id(kernel.get(), static_cast<uint32_t>(id));
  const btf_member* members = btf_members(type);
  for (int i = 0; i < btf_vlen(type); ++i)
    if (member == btf__name_by_offset(kernel.get(), members[i].name_off)) return true;
  return false;
}

bool has_program(bpf_prog_type type) { return libbpf_probe_bpf_prog_type(type, nullptr) == 1; }
bool has_map(bpf_map_type type) { return libbpf_probe_bpf_map_type(type, nullptr) == 1; }
bool has_helper(bpf_prog_type type, bpf_func_id helper) { return libbpf_probe_bpf_helper(type, helper, nullptr) == 1; }

Feature cgroup_feature(const char* what, const std::string& path) {
  const auto cgroup = open_cgroup(path);
  return {.name = fmt::format("cgroup2 folder of {}", what),
          .ok = cgroup.has_value(),
          .needed = true,
          .cure = cgroup ? "" : cgroup.error().message};
}

// The nearest folder that exists: ours is made later.
bool is_on_bpffs(std::filesystem::path path) {
  while (!path.empty() && path.has_relative_path() && !std::filesystem::exists(path)) path = path.parent_path();
  struct statfs filesystem{};
  return statfs(path.c_str(), &filesystem) == 0 && filesystem.f_type == BPF_FS_MAGIC;
}

}  // namespace

bool has_ingress_ifindex() { return kernel_struct_has("bpf_sk_lookup", "ingress_ifindex"); }

std::vector<Feature> probe_features(const Options& options) {
  std::vector<Feature> features{
      cgroup_feature("the pods", options.pods_cgroup),
      cgroup_feature("the agent", options.agent_cgroup),
      {.name = "BPF file system",
       .ok = is_on_bpffs(options.bpffs),
       .needed = true,
       .cure = "mount -t bpf none " + options.bpffs},
      {.name = "kernel type information (BTF)",
       .ok = std::filesystem::exists("/sys/kernel/btf/vmlinux"),
       .needed = true,
       .cure = "use a kernel built with CONFIG_DEBUG_INFO_BTF"},
      {.name = "sk_lookup programs",
       .ok = has_program(BPF_PROG_TYPE_SK_LOOKUP),
       .needed = true,
       .cure = "use kernel 5.9 or later"},
      {.name = "network namespace cookies at connect()",
       .ok = has_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_get_netns_cookie),
       .needed = true,
       .cure = "use kernel 5.7 or later"},
      {.name = "network namespace cookies in sockops",
       .ok = has_helper(BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_get_netns_cookie),
       .needed = true,
       .cure = "use kernel 5.15 or later"},
      {.name = "network namespace cookies for programs (SO_NETNS_COOKIE)",
       .ok = current_netns_cookie().has_value(),
       .needed = true,
       .cure = "use kernel 5.14 or later"},
      {.name = "BPF ring buffer",
       .ok = has_map(BPF_MAP_TYPE_RINGBUF),
       .needed = true,
       .cure = "use kernel 5.8 or later"},
      {.name = "ingress interface in sk_lookup (IPv6 capture)",
       .ok = has_ingress_ifindex(),
       .needed = false,
       .cure = "use kernel 5.17 or later; only IPv4 is captured"},
      {.name = "MPTCP is told from TCP",
       .ok = kernel_struct_has("tcp_sock", "is_mptcp"),
       .needed = false,
       .cure = "none needed: this kernel has no MPTCP"},
  };
  if (!options.kubelet_cgroup.empty()) features.push_back(cgroup_feature("the kubelet", options.kubelet_cgroup));
  return features;
}

}  // namespace leat::capture
