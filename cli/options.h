// What the command line says, of whatever command.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/flow_view.h"
#include "cli/output.h"
#include "cli/tap.h"
#include "cli/target.h"

namespace leat::cli {

inline constexpr char kDefaultSocket[] = "/run/leat/api.sock";

struct Options {
  Target agent{.socket = kDefaultSocket, .cluster = {}};
  ClusterTarget cluster;  // in force where the program is called kubectl-leat, or one of its settings is given
  bool through_cluster = false;
  bool all_namespaces = false;
  std::string selector;
  std::string subject;  // of describe
  std::string output;   // as given; empty: the command's own
  FlowFilter filter;
  std::string since;
  bool closed = false;
  bool follow = false;
  bool client_only = false;
  TapFilter tap_filter;
  uint64_t count = 0;
  std::string interval = "2s";
  bool once = false;
  bool before_install = false;
  uint16_t port = 0;
  bool openmetrics = false;
  bool statuses = false;
  std::vector<std::string> only;
  std::vector<std::string> files;
  std::string shell;
  std::string config;
};

// How the answer is to be printed, on this terminal.
Output output_of(const Options& options);

}  // namespace leat::cli
