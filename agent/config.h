// What `leat-agent --config FILE` reads: where this node's objects, state, pins and cgroups are.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "common/result.h"

namespace leat::agent {

struct Config {
  std::string node;         // which Node object this is
  std::string objects;      // folder of Kubernetes YAML files
  std::string state;        // folder of proxy.sock, api.sock and what must survive a restart
  std::string ca;           // folder of the built-in CA, shared by the nodes
  std::string bpffs;        // folder on a bpffs, for pins
  std::string pods_cgroup;  // cgroup2 folders
  std::string agent_cgroup;
  std::string kubelet_cgroup;  // empty: no kubelet
  uid_t proxy_user = 0;        // owns proxy.sock; the only user that may be a proxy
  std::string log = "info";

  [[nodiscard]] std::string proxy_socket() const { return state + "/proxy.sock"; }
  [[nodiscard]] std::string api_socket() const { return state + "/api.sock"; }
};

// All that is wrong is named at once, a line each: file, line, field, what, cure.
Result<Config> parse_config(std::string_view yaml, const std::string& file);
Result<Config> load_config(const std::string& file);

}  // namespace leat::agent
