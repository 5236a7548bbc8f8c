// Which connections to backends are as good as one another.
#pragma once

#include <memory>

#include "userspace-proxy/flow/dial.h"

namespace leat::proxy {

// The objects of the model stand for what they say: a pod that was edited is another one, and connections of the former
// age out.
struct UpstreamKey {
  const Workload* source;
  const Workload* destination;  // null: not a pod that the mesh knows
  SocketAddress target;
  Way way;
  std::shared_ptr<const tls::Origin> origin = nullptr;  // of TLS that we start
  bool operator==(const UpstreamKey&) const = default;
};

struct UpstreamKeyHash {
  size_t operator()(const UpstreamKey& key) const {
    constexpr size_t kSpread = 0x9e3779b97f4a7c15;  // an odd number without pattern
    const size_t target = std::hash<SocketAddress>()(key.target);
    return (std::hash<const void*>()(key.source) * kSpread ^ target) * kSpread ^
           std::hash<const void*>()(key.destination);
  }
};

}  // namespace leat::proxy
