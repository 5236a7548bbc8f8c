// What makes leat-proxy's worker a process that a stranger's bytes can do little with: an ordinary user, no capability
// and no way to gain one, and a list of system calls that serve the descriptors it has or is sent. It can't open a
// file, make a network socket, start a program, a process or a thread, trace, or set up a ring.
//
// Order: raise_descriptor_limit(), drop_privileges(), then threads and loops, then seal().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "common/result.h"

namespace leat {

// Raises the soft limit of descriptors to the hard one (container runtimes give a low soft one); returns it.
Result<uint64_t> raise_descriptor_limit();

// Before any thread is started. Started as root: becomes `uid` and `gid` without further groups; else both must be what
// it is already. Drops every capability and sets no_new_privs.
Result<void> drop_privileges(uid_t uid, gid_t gid);

// When all threads run and all loops are made, from any thread: puts the filter on every thread, then has the kernel
// confirm each one's state. What is forbidden fails with EPERM. On failure the process is not confined: exit, or say
// loudly that it goes on.
Result<void> seal();

// Judges the text of a /proc/…/status file; the error names all that is missing.
Result<void> verify_confined(std::string_view status);

}  // namespace leat
