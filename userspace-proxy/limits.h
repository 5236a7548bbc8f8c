// Every limit and default time of leat-proxy: unit in the type or name, the reason, and the setting that changes it ("fixed": none yet).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace leat::proxy {

using Clock = std::chrono::steady_clock;

namespace limits {
using namespace std::chrono_literals;

// -- balancing
// How long a backend is left out after a failed dial, times failures in a row: long enough that a burst does not try a dead pod again and
// again, short enough that a restarted one is used at once. Fixed.
inline constexpr auto kEjection = 1s;
inline constexpr uint32_t kEjectionMaxFactor = 10;

}  // namespace limits
}  // namespace leat::proxy
