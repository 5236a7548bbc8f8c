// The TCP connections of a network namespace that meet no proxy, from the kernel's socket diagnostics: no program has
// to run in the kernel for that, so it is there where programs for tracing are forbidden.
#pragma once

#include "agent/capture/capture.h"

namespace leat::capture {

// Of the namespace that the calling thread is in. `flows_fd`: the socket storage whose records make a connection a
// direct one. Untouched is what has neither that nor a mark and does not end inside the pod (loopback, aliases).
Result<KernelFlows> list_kernel_flows(int marks_fd, int flows_fd);

}  // namespace leat::capture
