// The proxy's seccomp profile, where the kubelet looks for it: a container runtime's own forbids io_uring, and one that
// is not there lets everything pass. Written before the proxy's pod can start, for that waits until the file is there.
#pragma once

#include <string>

#include "common/result.h"

namespace leat::agent {

// As the agent's image has it.
constexpr char kSeccompProfile[] = "/usr/share/leat/proxy-seccomp.json";

// Puts the profile into `target`, in one step; makes its folder. Does nothing if it is there already.
Result<void> install_seccomp_profile(const std::string& target, const std::string& profile = kSeccompProfile);
// The file, and its folder if nothing else is in there.
void remove_seccomp_profile(const std::string& target);

}  // namespace leat::agent
