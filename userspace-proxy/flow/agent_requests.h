// What a worker may ask of the agent. Each call is handed to the control thread and returns at once; answers come back
// on the worker's loop (SocketBroker::arrived, SourceIds::arrived). Without a connection to the agent a request waits
// for the next one.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/ip.h"

namespace leat::proxy {

struct AgentRequests {
  std::function<void(const std::string& uid, bool ipv6, uint32_t count)> sockets;
  std::function<void(const IpAddress& address, const std::string& uid)> source_id;
  std::function<void(const IpAddress& address)> source_id_unused;
};

}  // namespace leat::proxy
