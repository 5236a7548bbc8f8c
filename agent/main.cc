// leat-agent --config FILE: the privileged half of a node (agent.h).
#include <signal.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>

#include "agent/agent.h"
#include "agent/cni/installer.h"
#include "agent/seccomp_profile.h"
#include "common/log.h"

namespace {

constexpr int kExitFailed = 1, kExitUsage = 2;

// What a node has of Leat, in the kernel and as files. The entry in the network's list first, its binary last: an entry
// without its binary fails every pod of the node.
bool leave_node(const leat::agent::Config& config) {
  leat::log::info("Leat is being uninstalled: this node is cleaned");
  bool clean = true;
  const auto look = [&clean](const leat::Result<void>& done) {
    if (!done) leat::log::error("{}", done.error().message);
    clean &= done.has_value();
    return done.has_value();
  };
  const bool out_of_conf = !config.cni || look(leat::agent::take_out_of_conf(*config.cni));
  look(leat::capture::uninstall({.bpffs = config.bpffs,
                                 .pods_cgroup = config.pods_cgroup,
                                 .agent_cgroup = config.agent_cgroup,
                                 .kubelet_cgroup = config.kubelet_cgroup}));
  if (config.cni && out_of_conf) look(leat::agent::remove_binary(*config.cni));
  leat::agent::remove_seccomp_profile(config.proxy_seccomp);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(config.state, error))
    std::filesystem::remove_all(entry, error);  // the folder itself may be a mount
  if (error) leat::log::error("{} can't be emptied: {}", config.state, error.message());
  return clean && !error;
}

int run(const std::string& config_file) {
  auto config = leat::agent::load_config(config_file);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return kExitUsage;
  }
  leat::log::init("leat-agent", config->log);
  auto agent = leat::agent::Agent::start(*config);
  if (!agent) {
    leat::log::error("{}", agent.error().message);
    return kExitFailed;
  }
  (*agent)->run();
  const bool leaves_node = (*agent)->leaves_node();
  agent->reset();
  return !leaves_node || leave_node(*config) ? 0 : kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "leat-agent: captures this node's pods and serves its proxy\nExample: leat-agent --config /etc/leat/agent.yaml",
      "leat-agent");
  std::string config_file;
  app.add_option("--config", config_file, "the node's configuration, YAML")->required();
  app.set_version_flag("--version", LEAT_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return run(config_file);
}
