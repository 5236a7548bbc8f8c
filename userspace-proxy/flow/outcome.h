// A step of a flow: its result, or the reason that the flow record will show.
#pragma once

#include <expected>

#include "userspace-proxy/telemetry/reason.h"

namespace leat::proxy {

template <typename T>
using Outcome = std::expected<T, Reason>;

}  // namespace leat::proxy
