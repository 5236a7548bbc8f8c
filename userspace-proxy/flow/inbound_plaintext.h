// One connection into a local pod that arrived in plaintext and that user space has to decide over.
#pragma once

#include "common/unique_fd.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class Worker;

ring::Task<void> inbound_plaintext(Worker& worker, UniqueFd accepted, WorkloadRef pod);

}  // namespace leat::proxy
