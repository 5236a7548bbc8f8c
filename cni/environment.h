// The CNI_… variables, looked at as the reference implementation does it: what is missing or malformed is named.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cni/error.h"

namespace leat::cni {

struct Environment {
  std::string command;
  std::string container_id;
  std::string netns;
  std::string ifname;
  bool netns_may_be_own = false;  // CNI_NETNS_OVERRIDE
  // CNI_ARGS, as Kubernetes' runtimes fill it. Empty: no pod of Kubernetes.
  std::string pod_namespace;
  std::string pod_name;
  std::string pod_uid;
};

using GetVariable = std::function<std::string(const char* name)>;  // empty: not set

// kInvalidEnvironment names every variable that the command needs and lacks. A DEL is not refused for what its
// variables hold: it could never be done then, and the pod would never be gone.
Expected<Environment> read_environment(const GetVariable& get);

// Container ids and names of networks.
bool is_plain_name(std::string_view text);

}  // namespace leat::cni
