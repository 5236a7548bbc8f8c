#include "userspace-proxy/flow/dial.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/log.h"
#include "userspace-proxy/flow/policy.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/hbone/headers.h"

namespace leat::proxy {
namespace {

Reason reason_of(ring::Errno error) {
  switch (error.value) {
    case ECONNREFUSED:
      return Reason::kRefused;
    case ETIMEDOUT:
      return Reason::kConnectTimeout;
    default:
      return Reason::kUnreachable;
  }
}

hbone::ConnectRequest connect_request(const FlowRecord& record, const Backend& backend) {
  const hbone::Baggage baggage{
      .ns = record.source->namespace_, .workload_kind = "pod", .workload = record.source->name};
  const hbone::Forwarded forwarded{.client = record.client};
  return {.authority = backend.target, .baggage = baggage.write(), .forwarded = forwarded.write()};
}

// The kernel's probes of a silent connection, as the policy has them. A failure leaves the connection without.
void keep_alive(const ring::Socket& socket, const v1::ConnectionLimits& limits) {
  if (limits.keepalive_time_s() == 0) return;
  const auto set = [&](int level, int option, uint32_t value) {
    const int number = static_cast<int>(value);
    setsockopt(socket.fd(), level, option, &number, sizeof number);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, limits.keepalive_time_s());
  set(IPPROTO_TCP, TCP_KEEPINTVL, limits.keepalive_interval_s());
  set(IPPROTO_TCP, TCP_KEEPCNT, limits.keepalive_probes());
}

}  // namespace

Way way_to(const Mesh& mesh, const Backend& backend) {
  const v1::UpstreamTls tls = backend.policy ? backend.policy->tls : v1::UPSTREAM_TLS_AUTO;
  if (tls == v1::UPSTREAM_TLS_DISABLE) return Way::kOutsideTheMesh;
  if (tls == v1::UPSTREAM_TLS_ORIGINATE) return Way::kTls;
  const bool in_mesh = backend.workload && backend.workload->captured &&
                       backend.workload->mtls_at(backend.target.port) != v1::MTLS_DISABLE;
  if (!in_mesh) return tls == v1::UPSTREAM_TLS_MUTUAL ? Way::kNone : Way::kOutsideTheMesh;
  if (backend.workload->local && mesh.settings().same_node() != v1::SAME_NODE_MTLS) return Way::kSameNode;
  return Way::kTunnel;
}

Reason policy_on(Way way, const Worker& worker, const Workload& source, const Backend& backend) {
  if (way == Way::kNone) return Reason::kMutualTlsOnly;
  if (way != Way::kSameNode) return Reason::kNone;
  const SpiffeId client = worker.identity_of(source);
  return decide({.destination = *backend.workload, .port = backend.target.port, .client = &client});
}

ring::Task<Outcome<Upstream>> dial(Worker& worker, FlowRecord& record, const Mesh& mesh, const Backend& backend,
                                   EarlyBytes& early, ring::Clock::time_point deadline, std::string_view alpn) {
  record.destination = backend.workload;
  record.server = backend.target;
  const Way way = way_to(mesh, backend);

  if (way == Way::kTunnel) {
    record.path = v1::PATH_HBONE;
    record.security = Security::kMtls;
    Outcome<TunnelStream> stream = co_await worker.tunnels.open({record.source, backend.workload, backend.target.ip},
                                                                connect_request(record, backend), early, deadline);
    if (!stream) co_return std::unexpected(stream.error());
    record.peer = stream->connection().peer();
    co_return std::move(*stream);
  }

  record.path = v1::PATH_PROXY;
  record.security = way == Way::kSameNode ? Security::kSameNode
                    : way == Way::kTls    ? Security::kTls
                                          : Security::kPlaintext;
  const Reason denied = policy_on(way, worker, *record.source, backend);
  if (denied != Reason::kNone) co_return std::unexpected(denied);
  Outcome<ring::Socket> socket = co_await dial_socket(worker, *record.source, backend.target, std::nullopt, deadline);
  if (!socket) co_return std::unexpected(socket.error());
  if (backend.policy) keep_alive(*socket, backend.policy->limits);
  if (way == Way::kTls) {
    Outcome<TlsStream> stream = co_await start_tls(worker, std::move(*socket), backend, alpn, deadline);
    if (!stream) co_return std::unexpected(stream.error());
    co_return std::move(*stream);
  }
  co_return std::move(*socket);
}

ring::Task<Outcome<ring::Socket>> dial_socket(Worker& worker, const Workload& pod, SocketAddress to,
                                              std::optional<IpAddress> source, ring::Clock::time_point deadline) {
  Outcome<UniqueFd> fd = co_await worker.broker.take(pod, !to.ip.is_v4(), deadline);
  if (!fd) co_return std::unexpected(fd.error());
  ring::Socket socket(worker.loop, std::move(*fd));
  if (source) {
    if (const auto bound = socket.bind_source(*source); !bound) co_return std::unexpected(reason_of(bound.error()));
  }
  if (const auto connected = co_await socket.connect(to, deadline); !connected) {
    log::debug("{}/{}: connect to {}: {}", pod.namespace_, pod.name, to.text(),
               strerrorname_np(connected.error().value));
    co_return std::unexpected(reason_of(connected.error()));
  }
  co_return std::move(socket);
}

}  // namespace leat::proxy
