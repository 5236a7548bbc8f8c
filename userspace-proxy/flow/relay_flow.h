// The relay step of a flow whose upstream is a socket or a tunnel's stream.
#pragma once

#include <variant>

#include "userspace-proxy/flow/dial.h"
#include "userspace-proxy/ring/relay.h"

namespace leat::proxy {

template <typename Client>
ring::Task<ring::RelayResult> relay_flow(Client& client, Upstream& server, FlowRecord& record) {
  return std::visit([&](auto& stream) { return ring::relay(client, stream, record.bytes); }, server);
}

}  // namespace leat::proxy
