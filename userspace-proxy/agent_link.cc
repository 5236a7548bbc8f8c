#include "userspace-proxy/agent_link.h"

#include <algorithm>

#include "common/log.h"
#include "common/message_socket.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {

void AgentLink::connect() {
  Result<UniqueFd> socket = MessageSocket::connect_to(path_);
  if (socket) {
    pause_ = std::chrono::milliseconds(0);
    return connected_(std::move(*socket));
  }
  if (pause_ == std::chrono::milliseconds(0)) log::warn("{}; trying on", socket.error().message);
  pause_ = std::clamp(pause_ * 2, limits::kReconnectMin, limits::kReconnectMax);
  loop_.after(pause_, [this] { connect(); });
}

}  // namespace leat::proxy
