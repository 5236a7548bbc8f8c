#include "agent/capture/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <filesystem>

namespace leat::capture {

namespace {

constexpr uint32_t kProgramsMax = 64;  // the kernel's own limit a cgroup and attach type (BPF_CGROUP_MAX_PROGS)

struct Attached {
  std::vector<uint32_t> ids;
  uint32_t flags = 0;
};

Result<Attached> query(int cgroup_fd, const std::string& path, bpf_attach_type type) {
  Attached attached{.ids = std::vector<uint32_t>(kProgramsMax), .flags = 0};
  uint32_t found = kProgramsMax;
  if (bpf_prog_query(cgroup_fd, type, 0, &attached.flags, attached.ids.data(), &found) != 0)
    return fail_errno(errno, "asking for the BPF programs of cgroup {}", path);
  attached.ids.resize(found);
  return attached;
}

}  // namespace

std::string program_name(uint32_t id) {
  const UniqueFd fd(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  uint32_t size = sizeof info;
  return fd && bpf_obj_get_info_by_fd(fd.get(), &info, &size) == 0 ? info.name : "";
}

Result<Cgroup> open_cgroup(const std::string& path) {
  std::error_code error;
  Cgroup cgroup{.path = std::filesystem::canonical(path, error).string(), .fd = {}};
  if (error) return fail_errno(error.value(), "cgroup {}", path);
  cgroup.fd.reset(open(cgroup.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!cgroup.fd) return fail_errno(errno, "opening cgroup {}", cgroup.path);

  struct statfs filesystem{};
  struct stat folder{};
  if (fstatfs(cgroup.fd.get(), &filesystem) != 0 || fstat(cgroup.fd.get(), &folder) != 0)
    return fail_errno(errno, "asking about cgroup {}", cgroup.path);
  if (filesystem.f_type != CGROUP2_SUPER_MAGIC) {
    return fail(ErrorCode::kUnsupported,
                "{} is not on a cgroup2 file system: mount one (pure or hybrid) and let the pods' processes live in it",
                cgroup.path);
  }
  cgroup.id = folder.st_ino;
  return cgroup;
}

bool is_within(const Cgroup& inner, const Cgroup& outer) {
  return inner.path == outer.path || inner.path.starts_with(outer.path + "/");
}

Result<std::vector<uint32_t>> attached_programs(const Cgroup& cgroup, bpf_attach_type type) {
  LEAT_TRY(auto attached, query(cgroup.fd.get(), cgroup.path, type));
  return std::move(attached.ids);
}

Result<void> check_no_foreign_program(const Cgroup& cgroup, bpf_attach_type type, const std::string& hook) {
  for (std::filesystem::path path = cgroup.path; path.has_relative_path(); path = path.parent_path()) {
    auto at = open_cgroup(path.string());
    if (!at) break;  // above the mount: all ancestors have been asked
    LEAT_TRY(const auto attached, query(at->fd.get(), at->path, type));
    if (attached.ids.empty() || (attached.flags & BPF_F_ALLOW_MULTI)) continue;
    return fail(
        ErrorCode::kConflict,
        "cgroup {} has BPF program '{}' (id {}) at {}, attached without BPF_F_ALLOW_MULTI: attaching Leat's to {} "
        "would be refused or "
        "would silence it. Have its owner attach it with BPF_F_ALLOW_MULTI or by a link, or detach it (bpftool cgroup "
        "detach {} {} id {})",
        at->path, program_name(attached.ids.front()), attached.ids.front(), hook, cgroup.path, at->path, hook,
        attached.ids.front());
  }
  return {};
}

}  // namespace leat::capture
