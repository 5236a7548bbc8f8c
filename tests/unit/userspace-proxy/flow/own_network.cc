// These tests serve and connect at fixed loopback addresses. In a network namespace of its own a run is not disturbed
// by another one on this machine; that takes root, and who is not shares the addresses with everybody.
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "common/unique_fd.h"

namespace {

bool enter_own_network() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  const leat::UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq loopback{};
  std::strcpy(loopback.ifr_name, "lo");
  loopback.ifr_flags = IFF_UP;
  return ioctl(any.get(), SIOCSIFFLAGS, &loopback) == 0;
}

// Before main(), so before there is a thread that would stay behind.
[[maybe_unused]] const bool kOwnNetwork = enter_own_network();

}  // namespace
