// The agent's one thread runs common/event_loop.h.
#pragma once

#include <chrono>

#include "common/event_loop.h"

namespace leat::agent {

using Clock = std::chrono::steady_clock;

}  // namespace leat::agent
