// `leat top`: the edges of this node's pods, refreshed until it is interrupted, or once.
#pragma once

#include <chrono>
#include <string>

#include "cli/output.h"
#include "cli/target.h"

namespace leat::cli {

struct TopOptions {
  Target agent;
  std::string ns;  // of either side; empty: all
  Output output;
  std::chrono::milliseconds interval{2000};
  bool once = false;
};

int top(const TopOptions& options);

}  // namespace leat::cli
