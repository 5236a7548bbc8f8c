#include "cli/uninstall.h"

#include <fcntl.h>
#include <sys/file.h>

#include "agent/capture/capture.h"
#include "agent/cni/installer.h"
#include "agent/config.h"
#include "common/unique_fd.h"

namespace leat::cli {
namespace {

// The lock that an agent holds while it runs; without the file no agent ever ran here.
Result<UniqueFd> lock_out_agents(const agent::Config& config) {
  const std::string path = config.state + "/agent.lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!lock && errno == ENOENT) return lock;
  if (!lock) return fail_errno(errno, "opening {}", path);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK)
    return fail(ErrorCode::kConflict, "leat-agent is running with {}; stop it first", config.state);
  return fail_errno(errno, "locking {}", path);
}

}  // namespace

Result<std::string> uninstall(const std::string& config_file) {
  LEAT_TRY(const agent::Config config, agent::load_config(config_file));
  LEAT_TRY(const UniqueFd lock, lock_out_agents(config));
  // The entry first, the binary last: an entry without its binary fails every pod of the node, its removal too.
  if (config.cni) LEAT_TRY_VOID(agent::take_out_of_conf(*config.cni));
  LEAT_TRY_VOID(capture::uninstall({.bpffs = config.bpffs,
                                    .pods_cgroup = config.pods_cgroup,
                                    .agent_cgroup = config.agent_cgroup,
                                    .kubelet_cgroup = config.kubelet_cgroup}));
  if (config.cni) LEAT_TRY_VOID(agent::remove_binary(*config.cni));
  return fmt::format(
      "A leat-proxy that still runs holds listeners in pods until it ends; {} and {} are files that may be deleted.",
      config.state, config.ca);
}

}  // namespace leat::cli
