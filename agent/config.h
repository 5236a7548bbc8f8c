// What `leat-agent --config FILE` reads: where this node's objects, state, pins and cgroups are.
// NODE_NAME, POD_NAMESPACE, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of the environment fill what a
// configuration for a cluster leaves out.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/ca/remote_ca.h"
#include "common/result.h"
#include "control/objects.h"

namespace leat::agent {

// The cluster whose node this is. What is left out is what a pod of a service account finds.
struct Kubernetes {
  std::vector<std::string> servers;  // https://…; the first is tried first
  std::string token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
  std::string ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
  std::string netns = "/run/netns";  // folder where the container runtime binds the pods' network namespaces
  // Runs this agent: where it is gone when the agent is told to end, Leat leaves the node. Empty: it never does so.
  control::Name daemon_set;
  // By which one agent of the cluster leads; POD_NAMESPACE/leat-agent. Without a namespace none does.
  control::Name lease;
};

// How leat-cni reaches the agent, and how it gets into the host's configuration. Without this part there is no
// cni.sock.
struct Cni {
  std::string netns = "/run/netns";  // the host's folder of network namespaces, as the agent sees it
  // Where the container runtime looks, as the agent sees it. Empty: somebody else installs the plugin.
  std::string conf;
  std::string bin;
  std::string binary;  // leat-cni, as it is copied to `bin`; empty: beside the agent's own program
  enum class Install : uint8_t { kAppend, kOwnFile, kDropIn } install = Install::kAppend;
  std::string host_state;     // the agent's state folder, as the host has it; empty: the same path
  std::string own_namespace;  // of Leat's own pods, which are never held back
  std::chrono::milliseconds wait{8000};
};

struct Config {
  std::string node;     // which Node object this is
  std::string objects;  // folder of Kubernetes YAML files; empty: they come from the cluster's API server
  Kubernetes kubernetes;
  std::string state;  // folder of proxy.sock, api.sock and what must survive a restart
  std::string ca;     // folder of the built-in CA, shared by the nodes; empty: remote_ca
  ca::RemoteCa::Settings remote_ca;
  std::string bpffs;        // folder on a bpffs, for pins
  std::string pods_cgroup;  // cgroup2 folders; in a cluster they are looked for (node_cgroups.h)
  std::string agent_cgroup;
  std::string kubelet_cgroup;            // empty: no kubelet
  std::string proxy_seccomp;             // file of the proxy's seccomp profile, for the kubelet; empty: none is written
  uid_t proxy_user = 0;                  // owns proxy.sock; the only user that may be a proxy
  std::vector<std::string> dns_servers;  // ADDRESS or ADDRESS:PORT; none: the node's
  bool ambient_label = false;            // Istio ambient's labels enrol as well (control/enrolment.h)
  std::string tls_files;                 // folder of the certificates that DestinationRules may name; empty: none
  std::optional<Cni> cni;
  std::string log = "info";

  [[nodiscard]] std::string proxy_socket() const { return state + "/proxy.sock"; }
  [[nodiscard]] std::string api_socket() const { return state + "/api.sock"; }
  [[nodiscard]] std::string cni_socket() const { return state + "/cni.sock"; }
};

// All that is wrong is named at once, a line each: file, line, field, what, cure.
Result<Config> parse_config(std::string_view yaml, const std::string& file);
Result<Config> load_config(const std::string& file);

}  // namespace leat::agent
