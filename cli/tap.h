// `leat tap`: requests as they end, until it is interrupted or has shown enough.
#pragma once

#include <cstdint>
#include <string>

#include "cli/tap_view.h"
#include "cli/target.h"

namespace leat::cli {

struct TapOptions {
  Target agent;
  TapFilter filter;
  Output output;
  uint64_t count = 0;  // requests to show; 0: no end
};

int tap(const TapOptions& options);

}  // namespace leat::cli
