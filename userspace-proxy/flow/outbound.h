// One connection that a local pod opened, from accept to its flow record.
#pragma once

#include "common/unique_fd.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class Worker;

// `source`: the pod whose outbound listener accepted; never what the wire says.
ring::Task<void> outbound(Worker& worker, UniqueFd accepted, WorkloadRef source);

}  // namespace leat::proxy
