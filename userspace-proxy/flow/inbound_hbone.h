// One tunnel into a local pod, from accept to its end, and each connection that it carries.
#pragma once

#include "common/unique_fd.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class Worker;

// `pod`: the one whose HBONE listener accepted; its identity is shown to the peer.
ring::Task<void> inbound_tunnel(Worker& worker, UniqueFd accepted, WorkloadRef pod);

}  // namespace leat::proxy
