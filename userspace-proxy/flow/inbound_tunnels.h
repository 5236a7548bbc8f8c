// The tunnels into this worker's pods: told when the proxy leaves, and bounded while they are half-open. A stranger may
// hold as many half-open handshakes of a pod as it likes: beyond the limit the oldest makes room, and an honest peer is
// through long before it is that.
#pragma once

#include <list>
#include <string>
#include <unordered_map>

#include "userspace-proxy/flow/tunnel.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class InboundTunnels {
 public:
  // Lists a tunnel to `pod` as half-open; opened() when it is not any more.
  class Listed {
   public:
    Listed(InboundTunnels& all, const Workload& pod, TunnelConnection& tunnel)
        : all_(all), pod_(pod.uid), tunnel_(tunnel) {
      all_.tunnels_.emplace(&tunnel, pod_);
      if (all_.draining_) tunnel.drain();
      auto& waiting = all_.half_open_[pod_];
      place_ = waiting.insert(waiting.end(), &tunnel);
      if (waiting.size() > limits::kHandshakesAPod)
        waiting.front()->kill(Reason::kPodLimit, "newer handshakes needed its place");
    }
    Listed(const Listed&) = delete;
    Listed& operator=(const Listed&) = delete;
    ~Listed() {
      opened();
      all_.tunnels_.erase(&tunnel_);
    }

    void opened() {
      if (!std::exchange(half_open_, false)) return;
      const auto waiting = all_.half_open_.find(pod_);
      waiting->second.erase(place_);
      if (waiting->second.empty()) all_.half_open_.erase(waiting);
    }

   private:
    InboundTunnels& all_;
    std::string pod_;
    TunnelConnection& tunnel_;
    std::list<TunnelConnection*>::iterator place_;
    bool half_open_ = true;
  };

  void drain() {
    draining_ = true;
    for (const auto& [tunnel, pod] : tunnels_) tunnel->drain();
  }
  // They live in the pod's namespace.
  void pod_gone(const std::string& uid) {
    for (const auto& [tunnel, pod] : tunnels_) {
      if (pod == uid) tunnel->drain();
    }
  }
  [[nodiscard]] size_t size() const { return tunnels_.size(); }

 private:
  std::unordered_map<TunnelConnection*, std::string> tunnels_;               // and the uid of their pod
  std::unordered_map<std::string, std::list<TunnelConnection*>> half_open_;  // by pod, oldest first
  bool draining_ = false;
};

}  // namespace leat::proxy
