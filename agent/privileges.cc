#include "agent/privileges.h"

#include <sys/capability.h>
#include <sys/prctl.h>

#include <array>
#include <memory>

namespace leat::agent {
namespace {

constexpr std::array kKept{
    CAP_BPF,        // load programs, reach maps
    CAP_NET_ADMIN,  // attach sk_lookup and cgroup programs, the IPv6 route in a pod's namespace
    CAP_SYS_ADMIN,  // enter a pod's network namespace (setns)
    CAP_KILL,       // end an armed proxy, of another user, that does not disarm
};

struct CapFree {
  void operator()(cap_t caps) const { cap_free(caps); }
};

}  // namespace

Result<std::string> drop_privileges() {
  const std::unique_ptr<std::remove_pointer_t<cap_t>, CapFree> caps(cap_init());
  for (const cap_flag_t set : {CAP_PERMITTED, CAP_EFFECTIVE}) {
    if (cap_set_flag(caps.get(), set, kKept.size(), kKept.data(), CAP_SET) < 0)
      return fail_errno(errno, "building the capability set");
  }
  // The bounding set first: it needs a capability that goes with the rest. What is executed later gets nothing back.
  for (cap_value_t cap = 0; cap <= CAP_LAST_CAP; ++cap) {
    if (cap_drop_bound(cap) < 0 && errno != EINVAL)
      return fail_errno(errno, "dropping capability {} from the bounding set", cap);
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return fail_errno(errno, "clearing the ambient capabilities");
  if (cap_set_proc(caps.get()) < 0) return fail_errno(errno, "dropping capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return fail_errno(errno, "setting no_new_privs");

  std::string names;
  for (const cap_value_t cap : kKept) {
    char* name = cap_to_name(cap);
    names += (names.empty() ? "" : ", ") + std::string(name);
    cap_free(name);
  }
  return names;
}

}  // namespace leat::agent
