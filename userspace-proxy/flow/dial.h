// How a backend is reached: a socket of the client's own namespace, so that the connection looks to the pods' network
// like any other of the client; or a stream of a tunnel, proved both ways.
#pragma once

#include <optional>
#include <variant>

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/tls_stream.h"
#include "userspace-proxy/flow/tunnel.h"
#include "userspace-proxy/flow/tunnel_pool.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/socket.h"

namespace leat::proxy {

class Worker;

using Upstream = std::variant<ring::Socket, TunnelStream, TlsStream>;

enum class Way : uint8_t {
  kOutsideTheMesh,
  kSameNode,
  kTunnel,
  kTls,   // that we start: outside the mesh
  kNone,  // not as the policy asks for
};
Way way_to(const Mesh& mesh, const Backend& backend);

// What the destination's policy says where the kernel lets our socket pass its capture, so that nobody else asks it.
// kNone: allowed.
Reason policy_on(Way way, const Worker& worker, const Workload& source, const Backend& backend);

// Connects to `backend` for the flow of `record` (whose source, path, security and peer it uses and fills in). No byte
// was sent yet, but for those of `early` where it says that they are out. `alpn`: what will be spoken, where that has
// to be said in TLS.
ring::Task<Outcome<Upstream>> dial(Worker& worker, FlowRecord& record, const Mesh& mesh, const Backend& backend,
                                   EarlyBytes& early, ring::Clock::time_point deadline, std::string_view alpn = {});

// A connected socket made in `pod`'s namespace; `source`: the address to bind, else the kernel chooses.
ring::Task<Outcome<ring::Socket>> dial_socket(Worker& worker, const Workload& pod, SocketAddress to,
                                              std::optional<IpAddress> source, ring::Clock::time_point deadline);

}  // namespace leat::proxy
