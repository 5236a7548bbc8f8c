// The parent of the worker process: it starts it again when it dies, kills it when a worker's loop has stopped turning,
// and passes on the signal to end. It reads nothing that comes from the network.
#pragma once

#include "userspace-proxy/worker_process.h"

namespace leat::proxy {

// Returns the process's exit code.
int supervise(const ProxyOptions& options);

}  // namespace leat::proxy
