// The TCP connections of a network namespace that never met Leat, from the kernel's socket diagnostics.
#pragma once

#include <vector>

#include "agent/capture/capture.h"

namespace leat::capture {

// Of the namespace that the calling thread is in. Left out: loopback, aliases, and sockets with a mark or a direct
// flow's record.
Result<std::vector<UntouchedFlow>> list_untouched(int marks_fd, int flows_fd);

}  // namespace leat::capture
