// `leat dashboard`: serves one page on 127.0.0.1 until it is interrupted: who calls whom, how well and how fast, and
// how requests are split, live. The page needs nothing from elsewhere; nothing here changes the mesh.
#pragma once

#include <cstdint>
#include <string>

#include "cli/target.h"

namespace leat::cli {

struct DashboardOptions {
  Target agent;
  uint16_t port = 0;  // 0: any that is free
};

int dashboard(const DashboardOptions& options);

}  // namespace leat::cli
