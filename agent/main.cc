// leat-agent --config FILE: the privileged half of a node (agent.h).
#include <signal.h>

#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "agent/agent.h"
#include "common/log.h"

namespace {

constexpr int kExitFailed = 1, kExitUsage = 2;

int run(const std::string& config_file) {
  auto config = leat::agent::load_config(config_file);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().message.c_str());
    return kExitUsage;
  }
  leat::log::init("leat-agent", config->log);
  auto agent = leat::agent::Agent::start(std::move(*config));
  if (!agent) {
    leat::log::error("{}", agent.error().message);
    return kExitFailed;
  }
  (*agent)->run();
  return 0;
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
