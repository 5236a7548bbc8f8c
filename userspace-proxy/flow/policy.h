// The policy step: may this client reach this port of this pod? It is asked at the destination for every connection
// that passes the proxy: for tunnels, for plaintext, and for same-node connections, which the proxy vouches for towards
// the kernel. Today it knows mutual TLS modes.
#pragma once

#include "common/spiffe.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/telemetry/reason.h"

namespace leat::proxy {

struct PolicyQuestion {
  const Workload& destination;
  uint16_t port;
  const SpiffeId* client;  // proved by a certificate, or by the kernel for a pod of this node; null: not proved
};

// kNone: allowed; else why not.
Reason decide(const PolicyQuestion& question);

}  // namespace leat::proxy
