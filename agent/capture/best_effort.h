// For cleaning up, where a failure has nobody to be returned to and the rest must go on: it is logged.
#pragma once

#include "common/log.h"
#include "common/result.h"

namespace leat::capture {

inline void best_effort(const Result<void>& result) {
  if (!result) log::warn("{}", result.error().message);
}

}  // namespace leat::capture
