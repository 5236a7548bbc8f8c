// `leat lint`: the agent's own reading of manifests, without an agent.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"
#include "control/findings.h"

namespace leat::cli {

struct Linted {
  control::Findings findings;  // by file and line
  size_t objects = 0;
  size_t files = 0;
  std::vector<std::string> unreadable;  // sentences
};

// Files, folders (read as the agent reads them), or "-" for stdin.
Linted lint(const std::vector<std::string>& paths);

// One line a finding, and the count.
std::string lint_text(const Linted& linted, bool coloured);
Json lint_json(const Linted& linted);
bool has_errors(const Linted& linted);

}  // namespace leat::cli
