// What became of a worker's hedges.
#pragma once

#include <cstdint>

namespace leat::proxy {

struct HedgeCounters {
  uint64_t sent = 0;
  uint64_t won = 0;      // the second endpoint's answer was the one
  uint64_t refused = 0;  // by the retry budget, or the policy's maxRetries
};

}  // namespace leat::proxy
