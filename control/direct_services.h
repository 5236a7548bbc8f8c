// The ports of a Service that the kernel serves by itself, as far as it has the endpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "control/compile.h"
#include "control/endpoints.h"
#include "leat.pb.h"

namespace leat::control {

// For each port: the ready endpoints that the kernel can serve by itself, and how many it can't. A port that may carry
// HTTP has none: each request is the proxy's to place. Neither has one whose policy the kernel can't keep.
// `slot_of`: the index of a captured pod of this node. `hold_remote` is asked once, where some port needs it: the alias
// of the endpoints that the kernel can't serve.
std::vector<DirectService> direct_services(const v1::Service& model, const IpAddress& vip, uint32_t alias_id,
                                           const ServiceEndpoints& endpoints,
                                           const std::function<uint32_t(const LivePod&)>& slot_of,
                                           const std::function<std::optional<uint32_t>()>& hold_remote);

}  // namespace leat::control
