// What the agent keeps of root's powers, once it is set up.
#pragma once

#include <string>

#include "common/result.h"

namespace leat::agent {

// Keeps CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN and those few that `privileges.cc` gives a reason for, in every set,
// and sets no_new_privs. Returns the names of what is kept, for the log and `leat check`.
Result<std::string> drop_privileges();

}  // namespace leat::agent
