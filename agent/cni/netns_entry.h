// The file by which the agent enters a namespace that a plugin has open. The plugin's path is the host's; the agent may
// have the folder elsewhere, and what the path leads to may have changed: the descriptor decides.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/result.h"

namespace leat::agent {

struct NetnsEntry {
  std::string path;
  ino_t inode = 0;
  uint64_t cookie = 0;
};

// `folder`: where the agent sees the host's entries. kNotFound, with the cure, where none of them is this namespace.
Result<NetnsEntry> find_netns_entry(int netns, const std::string& host_path, const std::string& folder);

// What is at `path` now; 0: nothing.
ino_t inode_at(const std::string& path);

}  // namespace leat::agent
