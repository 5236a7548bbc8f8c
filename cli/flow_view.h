// Flows as rows and as JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/output.h"
#include "leat.pb.h"

namespace leat::cli {

struct FlowFilter {
  std::string ns;                          // of either side; empty: all
  std::string pod;                         // of either side, NAME or NAMESPACE/NAME; empty: all
  std::optional<int64_t> closed_after_ms;  // Unix time; open flows always match
  [[nodiscard]] bool matches(const v1::Flow& flow) const;
};

// Oldest first.
void sort_flows(std::vector<v1::Flow>& flows);

Table flow_table(const std::vector<v1::Flow>& flows, bool wide, int64_t now_ms);
Json flow_json(const v1::Flow& flow);
Json flows_json(const std::vector<v1::Flow>& flows);

}  // namespace leat::cli
