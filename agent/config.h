// What `leat-agent --config FILE` reads: where this node's objects, state, pins and cgroups are.
// NODE_NAME, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of the environment fill what a configuration for a
// cluster leaves out.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace leat::agent {

// The cluster whose node this is. What is left out is what a pod of a service account finds.
struct Kubernetes {
  std::vector<std::string> servers;  // https://…; the first is tried first
  std::string token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  std::string ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  std::string netns = "/run/netns";  // folder where the container runtime binds the pods' network namespaces
};

struct Config {
  std::string node;     // which Node object this is
  std::string objects;  // folder of Kubernetes YAML files; empty: they come from the cluster's API server
  Kubernetes kubernetes;
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
