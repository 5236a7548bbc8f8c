// `leat flows -f`: what of each answer is new.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

#include "leat.pb.h"

namespace leat::cli {

// A flow is news twice: when it is first seen, and when it has closed.
class FlowNews {
 public:
  // The flows of an answer that were no news yet, in their order. Closed flows that an agent tells again after a
  // restart are told apart.
  std::vector<v1::Flow> take(const std::vector<v1::Flow>& flows);

 private:
  static constexpr size_t kRemembered = 100'000;  // closed flows; an agent keeps fewer
  std::unordered_set<std::string> open_;          // those of the last answer
  std::unordered_set<std::string> closed_;
  std::deque<std::string> closed_order_;  // oldest first
};

}  // namespace leat::cli
