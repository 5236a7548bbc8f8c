// Questions about cgroup2 folders and the BPF programs attached to them.
#pragma once

#include <bpf/bpf.h>

#include <string>
#include <vector>

#include "common/result.h"
#include "common/unique_fd.h"

namespace leat::capture {

struct Cgroup {
  std::string path;  // canonical
  UniqueFd fd;
  uint64_t id = 0;  // the kernel's, as links name it
};

// An error says what is wrong with the path: not there, or not on a cgroup2 mount.
Result<Cgroup> open_cgroup(const std::string& path);

// Is `inner` the same folder as `outer`, or below it?
bool is_within(const Cgroup& inner, const Cgroup& outer);

// As the kernel knows it (at most 15 characters); empty if there is none.
std::string program_name(uint32_t id);

// Ids of the programs attached to this very cgroup.
Result<std::vector<uint32_t>> attached_programs(const Cgroup& cgroup, bpf_attach_type type);

// Refuses, naming cgroup, program and cure, where attaching at `cgroup` would be refused by, or would silence, somebody
// else's program: one without BPF_F_ALLOW_MULTI here or at any ancestor.
Result<void> check_no_foreign_program(const Cgroup& cgroup, bpf_attach_type type, const std::string& hook);

}  // namespace leat::capture
