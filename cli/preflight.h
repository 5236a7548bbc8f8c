// Whether a cluster can take Leat in, asked before anything of it is there: `kubectl leat check --pre`. It reads what
// the API server knows of the nodes and changes nothing.
#pragma once

#include <string_view>
#include <vector>

#include "cli/target.h"
#include "common/result.h"
#include "leat.pb.h"

namespace leat::cli {

inline constexpr int kLeastKernel[] = {5, 15};      // docs/operations.md, kernels
inline constexpr int kLeastKubernetes[] = {1, 32};  // docs/install.md

// A row a node: `kubectl get nodes -o json`.
Result<std::vector<v1::CheckItem>> check_nodes(std::string_view json);
// Other programs that take pods' connections: `kubectl get daemonsets -A -o json`.
Result<std::vector<v1::CheckItem>> check_neighbours(std::string_view json);

// All rows, in the order in which they are to be shown; an error: the API server can't be asked.
Result<std::vector<v1::CheckItem>> preflight(const ClusterTarget& target);

}  // namespace leat::cli
