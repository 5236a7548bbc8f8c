#include "agent/capture/programs.h"

#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <filesystem>

#include "agent/capture/best_effort.h"
#include "agent/capture/features.h"
#include "bpf/bind.skel.h"
#include "bpf/connect.skel.h"
#include "bpf/lookup.skel.h"
#include "bpf/names.skel.h"
#include "bpf/sockops.skel.h"
#include "common/log.h"

namespace leat::capture {

std::string maps_folder(const Options& options) { return options.bpffs + "/maps"; }
std::string links_folder(const Options& options) { return options.bpffs + "/links"; }

namespace {

template <typename Skeleton, void (*Destroy)(Skeleton*)>
struct Destroyer {
  void operator()(Skeleton* skeleton) const { Destroy(skeleton); }
};
template <typename Skeleton, void (*Destroy)(Skeleton*)>
using SkeletonPtr = std::unique_ptr<Skeleton, Destroyer<Skeleton, Destroy>>;

using BindPrograms = SkeletonPtr<bind_bpf, bind_bpf__destroy>;
using ConnectPrograms = SkeletonPtr<connect_bpf, connect_bpf__destroy>;
using NamesPrograms = SkeletonPtr<names_bpf, names_bpf__destroy>;
using SockopsPrograms = SkeletonPtr<sockops_bpf, sockops_bpf__destroy>;
using LookupPrograms = SkeletonPtr<lookup_bpf, lookup_bpf__destroy>;

int log_libbpf(libbpf_print_level, const char* format, va_list arguments) {
  if (!log::enabled(log::Level::kDebug)) return 0;
  char line[1024];
  const int length = std::vsnprintf(line, sizeof line, format, arguments);
  std::string_view text(line, std::min<size_t>(std::max(length, 0), sizeof line - 1));
  while (text.ends_with('\n')) text.remove_suffix(1);
  log::debug("{}", text);
  return 0;
}

std::string inbound_pin(const Options& options, uint32_t pod_index) {
  return fmt::format("{}/lookup_{}", links_folder(options), pod_index);
}

Result<void> make_pin_folders(const Options& options) {
  std::error_code error;
  for (const std::string& folder : {maps_folder(options), links_folder(options)}) {
    std::filesystem::create_directories(folder, error);
    if (error) return fail_errno(error.value(), "making the folder {}", folder);
  }
  struct statfs filesystem{};
  if (statfs(options.bpffs.c_str(), &filesystem) != 0) return fail_errno(errno, "asking about {}", options.bpffs);
  if (filesystem.f_type == BPF_FS_MAGIC) return {};
  return fail(ErrorCode::kInvalid, "{} is not on a BPF file system: mount one there (mount -t bpf none DIR)",
              options.bpffs);
}

template <typename Skeleton>
Result<void> load_skeleton(Skeleton* skeleton, int (*load)(Skeleton*), std::string_view name, const Options& options) {
  const int error = skeleton ? load(skeleton) : -errno;
  if (error == 0) return {};
  return fail_errno(
      -error,
      "loading the BPF programs '{}' (where maps of another version are pinned under {}, `leat uninstall` first; the "
      "log at level debug has the verifier's words)",
      name, options.bpffs);
}

constexpr bpf_attach_type kHookTypes[] = {
    BPF_CGROUP_INET4_BIND,        BPF_CGROUP_INET6_BIND,        BPF_CGROUP_INET4_CONNECT,
    BPF_CGROUP_INET6_CONNECT,     BPF_CGROUP_INET4_GETPEERNAME, BPF_CGROUP_INET6_GETPEERNAME,
    BPF_CGROUP_INET4_GETSOCKNAME, BPF_CGROUP_INET6_GETSOCKNAME, BPF_CGROUP_SOCK_OPS};

uint32_t program_id(int fd) {
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
}

bpf_link_info link_info(int fd) {
  bpf_link_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) info = {};
  return info;
}

// Not so if the namespace has ended: the link has none then.
bool is_of_namespace(int link, int netns_fd) {
  struct stat status{};
  return fstat(netns_fd, &status) == 0 && link_info(link).netns.netns_ino == status.st_ino;
}

// Ends a pinned link even if somebody holds it open.
Result<void> end_link(const std::string& pin) {
  const UniqueFd link(bpf_obj_get(pin.c_str()));
  if (!link && errno == ENOENT) return {};
  if (link && bpf_link_detach(link.get()) != 0 && errno != ENOLINK && errno != EOPNOTSUPP)
    return fail_errno(errno, "detaching the BPF link {}", pin);
  if (unlink(pin.c_str()) != 0) return fail_errno(errno, "removing the pin {}", pin);
  return {};
}

}  // namespace

// One cgroup hook: what is attached where, under which pin.
struct Hook {
  const char* name;    // of the pin
  const char* attach;  // as bpftool names the attach type
  bpf_attach_type type;
  int program_fd;
  const Cgroup* cgroup;  // nullptr: not wanted with these options
};

struct Programs::Loaded {
  Options options;
  Cgroup pods, agent;
  std::optional<Cgroup> kubelet;
  BindPrograms bind;
  ConnectPrograms connect;
  NamesPrograms names;
  SockopsPrograms sockops;
  bool has_ingress_ifindex = true;

  // In the order of attaching: whoever can be captured must be able to see true names.
  [[nodiscard]] std::vector<Hook> hooks() const {
    const auto fd = [](const bpf_program* program) { return bpf_program__fd(program); };
    return {
        {"getpeername4", "getpeername4", BPF_CGROUP_INET4_GETPEERNAME, fd(names->progs.leat_getpeername4), &pods},
        {"getpeername6", "getpeername6", BPF_CGROUP_INET6_GETPEERNAME, fd(names->progs.leat_getpeername6), &pods},
        {"getsockname4", "getsockname4", BPF_CGROUP_INET4_GETSOCKNAME, fd(names->progs.leat_getsockname4), &pods},
        {"getsockname6", "getsockname6", BPF_CGROUP_INET6_GETSOCKNAME, fd(names->progs.leat_getsockname6), &pods},
        {"bind4", "bind4", BPF_CGROUP_INET4_BIND, fd(bind->progs.leat_bind4), &pods},
        {"bind6", "bind6", BPF_CGROUP_INET6_BIND, fd(bind->progs.leat_bind6), &pods},
        {"sockops_pods", "sock_ops", BPF_CGROUP_SOCK_OPS, fd(sockops->progs.leat_sockops), &pods},
        {"sockops_agent", "sock_ops", BPF_CGROUP_SOCK_OPS, fd(sockops->progs.leat_sockops),
         is_within(agent, pods) ? nullptr : &agent},
        {"sockops_kubelet", "sock_ops", BPF_CGROUP_SOCK_OPS, fd(sockops->progs.leat_sockops_kubelet),
         kubelet ? &*kubelet : nullptr},
        {"connect4", "connect4", BPF_CGROUP_INET4_CONNECT, fd(connect->progs.leat_connect4), &pods},
        {"connect6", "connect6", BPF_CGROUP_INET6_CONNECT, fd(connect->progs.leat_connect6), &pods},
    };
  }

  [[nodiscard]] std::string pin(const Hook& hook) const { return links_folder(options) + "/" + hook.name; }

  // True if an earlier agent's link is at the right cgroup and has our program now.
  [[nodiscard]] Result<bool> take_over(const Hook& hook) const {
    const UniqueFd link(bpf_obj_get(pin(hook).c_str()));
    if (!link) return false;
    if (link_info(link.get()).cgroup.cgroup_id == hook.cgroup->id) {
      if (bpf_link_update(link.get(), hook.program_fd, nullptr) != 0)
        return fail_errno(errno, "replacing the program of the BPF link {}", pin(hook));
      return true;
    }
    LEAT_TRY_VOID(end_link(pin(hook)));  // its cgroup is gone, or another one is wanted
    return false;
  }

  [[nodiscard]] Result<void> attach_anew(const Hook& hook) const {
    LEAT_TRY_VOID(check_no_foreign_program(*hook.cgroup, hook.type, hook.attach));
    const UniqueFd link(bpf_link_create(hook.program_fd, hook.cgroup->fd.get(), hook.type, nullptr));
    if (!link) return fail_errno(errno, "attaching {} to cgroup {}", hook.name, hook.cgroup->path);
    if (bpf_obj_pin(link.get(), pin(hook).c_str()) != 0) return fail_errno(errno, "pinning the BPF link {}", pin(hook));
    return {};
  }

  [[nodiscard]] bool is_attached(const Hook& hook) const {
    const auto ids = attached_programs(*hook.cgroup, hook.type);
    return ids && std::ranges::find(*ids, program_id(hook.program_fd)) != ids->end();
  }

  [[nodiscard]] Result<LookupPrograms> load_inbound(uint32_t pod_index, const leat_pod& row) const {
    const std::string maps = maps_folder(options);
    LIBBPF_OPTS(bpf_object_open_opts, open_options, .pin_root_path = maps.c_str());
    LookupPrograms lookup(lookup_bpf__open_opts(&open_options));
    if (lookup) {
      lookup->rodata->pod = pod_index;
      std::memcpy(const_cast<leat_ip*>(&lookup->rodata->own_v4), &row.v4, sizeof row.v4);
      std::memcpy(const_cast<leat_ip*>(&lookup->rodata->own_v6), &row.v6, sizeof row.v6);
      lookup->rodata->has_ingress_ifindex = has_ingress_ifindex;
    }
    LEAT_TRY_VOID(load_skeleton(lookup.get(), lookup_bpf__load, "lookup", options));
    return lookup;
  }
};

Programs::Programs(std::unique_ptr<Loaded> loaded) : loaded_(std::move(loaded)) {}
Programs::Programs(Programs&&) noexcept = default;
Programs::~Programs() = default;

Result<Programs> Programs::load(const Options& options) {
  libbpf_set_print(log_libbpf);
  auto loaded = std::make_unique<Loaded>();
  loaded->options = options;
  LEAT_TRY(loaded->pods, open_cgroup(options.pods_cgroup));
  LEAT_TRY(loaded->agent, open_cgroup(options.agent_cgroup));
  if (!options.kubelet_cgroup.empty()) {
    LEAT_TRY(loaded->kubelet, open_cgroup(options.kubelet_cgroup));
  }
  LEAT_TRY_VOID(make_pin_folders(options));
  loaded->has_ingress_ifindex = has_ingress_ifindex();

  const std::string maps = maps_folder(options);
  LIBBPF_OPTS(bpf_object_open_opts, open_options, .pin_root_path = maps.c_str());
  loaded->bind.reset(bind_bpf__open_opts(&open_options));
  LEAT_TRY_VOID(load_skeleton(loaded->bind.get(), bind_bpf__load, "bind", options));
  loaded->connect.reset(connect_bpf__open_opts(&open_options));
  LEAT_TRY_VOID(load_skeleton(loaded->connect.get(), connect_bpf__load, "connect", options));
  loaded->names.reset(names_bpf__open_opts(&open_options));
  LEAT_TRY_VOID(load_skeleton(loaded->names.get(), names_bpf__load, "names", options));
  loaded->sockops.reset(sockops_bpf__open_opts(&open_options));
  LEAT_TRY_VOID(load_skeleton(loaded->sockops.get(), sockops_bpf__load, "sockops", options));
  return Programs(std::move(loaded));
}

Result<void> Programs::attach() {
  for (const Hook& hook : loaded_->hooks()) {
    if (!hook.cgroup) {
      LEAT_TRY_VOID(end_link(loaded_->pin(hook)));
      continue;
    }
    LEAT_TRY(const bool taken_over, loaded_->take_over(hook));
    if (!taken_over) LEAT_TRY_VOID(loaded_->attach_anew(hook));
    if (!loaded_->is_attached(hook)) {
      return fail(ErrorCode::kSystem,
                  "the kernel does not list {} at cgroup {} after attaching it; nothing more is attached", hook.name,
                  hook.cgroup->path);
    }
  }
  return {};
}

Result<bool> Programs::take_over_inbound(uint32_t pod_index, const leat_pod& row) {
  const std::string pin = inbound_pin(loaded_->options, pod_index);
  const UniqueFd link(bpf_obj_get(pin.c_str()));
  if (!link) return false;
  LEAT_TRY(const LookupPrograms lookup, loaded_->load_inbound(pod_index, row));
  if (bpf_link_update(link.get(), bpf_program__fd(lookup->progs.leat_inbound), nullptr) == 0) return true;
  if (errno != ENOLINK) return fail_errno(errno, "replacing the program of the BPF link {}", pin);
  LEAT_TRY_VOID(end_link(pin));  // the namespace is gone
  return false;
}

Result<void> Programs::attach_inbound(uint32_t pod_index, const leat_pod& row, int netns_fd) {
  const std::string pin = inbound_pin(loaded_->options, pod_index);
  LEAT_TRY(const LookupPrograms lookup, loaded_->load_inbound(pod_index, row));
  // Captured anew where it was: the namespace has the one program or the other, at no moment none.
  const UniqueFd former(bpf_obj_get(pin.c_str()));
  if (former && is_of_namespace(former.get(), netns_fd)) {
    if (bpf_link_update(former.get(), bpf_program__fd(lookup->progs.leat_inbound), nullptr) == 0) return {};
    return fail_errno(errno, "replacing the program of the BPF link {}", pin);
  }
  LEAT_TRY_VOID(end_link(pin));  // of a namespace that is not the pod's any more
  const UniqueFd link(bpf_link_create(bpf_program__fd(lookup->progs.leat_inbound), netns_fd, BPF_SK_LOOKUP, nullptr));
  if (!link) return fail_errno(errno, "attaching the inbound program of pod {} to its network namespace", pod_index);
  if (bpf_obj_pin(link.get(), pin.c_str()) != 0) return fail_errno(errno, "pinning the BPF link {}", pin);
  return {};
}

void Programs::detach_inbound(uint32_t pod_index) { best_effort(end_link(inbound_pin(loaded_->options, pod_index))); }

void Programs::detach_inbound_of_others(const std::set<uint32_t>& pod_indexes) {
  for (uint32_t index = 0; index < LEAT_PODS_MAX; ++index) {
    if (!pod_indexes.contains(index)) detach_inbound(index);
  }
}

std::vector<Feature> Programs::hooks() const {
  std::vector<Feature> found;
  for (const Hook& hook : loaded_->hooks()) {
    if (!hook.cgroup) continue;
    found.push_back({.name = fmt::format("{} at {}", hook.name, hook.cgroup->path),
                     .ok = loaded_->is_attached(hook),
                     .needed = true,
                     .cure = "restart leat-agent: it attaches what is missing"});
  }
  return found;
}

bool Programs::inbound_attached(uint32_t pod_index) const {
  const UniqueFd link(bpf_obj_get(inbound_pin(loaded_->options, pod_index).c_str()));
  return link && link_info(link.get()).netns.netns_ino != 0;
}

std::vector<std::string> attached_program_names(const Options& options) {
  std::vector<std::string> names;
  for (const std::string& path : {options.pods_cgroup, options.agent_cgroup, options.kubelet_cgroup}) {
    const auto cgroup = open_cgroup(path);
    if (!cgroup) continue;
    for (const bpf_attach_type type : kHookTypes) {
      for (const uint32_t id : attached_programs(*cgroup, type).value_or(std::vector<uint32_t>{})) {
        const std::string name = program_name(id);
        if (name.starts_with("leat_")) names.push_back(fmt::format("{} at cgroup {}", name, cgroup->path));
      }
    }
  }
  return names;
}

std::vector<Error> remove_all_pins(const Options& options) {
  std::vector<std::string> links;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(links_folder(options), ignored))
    links.push_back(entry.path());
  // Connects and inbound programs first: nobody may be captured who can't see true names.
  const auto is_name_hook = [](const std::string& pin) {
    return pin.contains("/getpeername") || pin.contains("/getsockname");
  };
  std::ranges::sort(links, {}, is_name_hook);

  std::vector<Error> errors;
  for (const std::string& pin : links)
    if (auto ended = end_link(pin); !ended) errors.push_back(ended.error());
  std::error_code error;
  std::filesystem::remove_all(options.bpffs, error);
  if (error) errors.push_back(fail_errno(error.value(), "removing {}", options.bpffs).error());
  return errors;
}

}  // namespace leat::capture
