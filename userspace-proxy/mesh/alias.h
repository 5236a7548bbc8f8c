// The alias scheme (bpf/alias.h) on IpAddress: which id an address of the destination block carries, and the address of
// a source id.
#pragma once

#include <cstdint>
#include <optional>

#include "common/ip.h"

namespace leat::proxy {

// The id, if `address` lies in the destination block of its family.
std::optional<uint32_t> destination_id(const IpAddress& address);
// What the proxy binds when it dials an application for a client known as `id`.
IpAddress source_alias(uint32_t id, bool ipv6);
IpAddress destination_alias(uint32_t id, bool ipv6);

}  // namespace leat::proxy
