// How long edits took until they were in force: from the event that told of the edit to the armed proxy's
// acknowledgement (or, without a proxy, to the kernel's). The last kEditLatencies of them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "agent/limits.h"

namespace leat::agent {

class EditLatency {
 public:
  using Duration = std::chrono::microseconds;

  void add(Duration latency) {
    if (recent_.size() < limits::kEditLatencies) {
      recent_.push_back(latency);
    } else {
      recent_[count_ % recent_.size()] = latency;
    }
    ++count_;
    last_ = latency;
  }

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] Duration last() const { return last_; }
  [[nodiscard]] Duration longest() const { return recent_.empty() ? Duration(0) : *std::ranges::max_element(recent_); }
  [[nodiscard]] Duration median() const {
    if (recent_.empty()) return Duration(0);
    auto sorted = recent_;
    const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
    std::ranges::nth_element(sorted, middle);
    return *middle;
  }

 private:
  std::vector<Duration> recent_;
  uint64_t count_ = 0;
  Duration last_{0};
};

}  // namespace leat::agent
