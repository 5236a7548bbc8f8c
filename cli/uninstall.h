// `leat uninstall`: takes Leat out of this node's kernel, and looks whether anything is left. The one command that
// changes something; it needs root, and no agent.
#pragma once

#include <string>

#include "common/result.h"

namespace leat::cli {

// `config_file`: the agent's. kConflict while an agent runs: it would put everything back. Returns what is left for a
// person to do.
Result<std::string> uninstall(const std::string& config_file);

}  // namespace leat::cli
