// The process that serves: workers on their threads, the control thread, no privilege.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/ip.h"
#include "userspace-proxy/heartbeat.h"
#include "userspace-proxy/ring/loop.h"

namespace leat::proxy {

struct ProxyOptions {
  std::string agent;  // path of the agent's socket
  unsigned workers = 2;
  std::optional<ring::BackendKind> backend;  // none: io_uring where the node gives it, else epoll
  std::optional<SocketAddress> metrics;      // where metrics and health are served; none: nowhere
  bool allow_unconfined = false;
};

// Exit codes that mean: do not start it again.
inline constexpr int kExitDone = 0;          // told to end, or replaced
inline constexpr int kExitDied = 70;         // EX_SOFTWARE: the worker process died while it was to end
inline constexpr int kExitCannotServe = 78;  // EX_CONFIG: the message says why

// Serves until told to end (SIGTERM) or replaced; returns the exit code.
int serve(const ProxyOptions& options, Heartbeat& heartbeat);

}  // namespace leat::proxy
