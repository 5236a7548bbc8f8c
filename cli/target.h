// Whom a command asks: the agent of this machine by its socket, or those of a cluster's nodes through the API server.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace leat::cli {

struct ClusterTarget {
  std::string ns = "leat-system";  // that Leat runs in
  std::string kubectl = "kubectl";
  std::string kubeconfig, context;  // handed on to kubectl; empty: its own choice
  std::string node;                 // only this one; empty: all
};

struct Target {
  std::string socket;
  std::optional<ClusterTarget> cluster;

  [[nodiscard]] std::string text() const { return cluster ? "the nodes of the cluster" : "the agent at " + socket; }
  [[nodiscard]] const char* cure() const {
    return cluster ? "does `kubectl get pods -n leat-system` work, and is Leat's namespace the one of --leat-namespace?"
                   : "is leat-agent running here? name its socket with --agent STATE/api.sock, or in the variable "
                     "LEAT_AGENT; for a cluster's nodes use kubectl leat";
  }
};

}  // namespace leat::cli
