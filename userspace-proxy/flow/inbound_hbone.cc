#include "userspace-proxy/flow/inbound_hbone.h"

#include <optional>

#include "bpf/alias.h"
#include "common/log.h"
#include "userspace-proxy/flow/application_stream.h"
#include "userspace-proxy/flow/dial_application.h"
#include "userspace-proxy/flow/policy.h"
#include "userspace-proxy/flow/tunnel.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/hbone/headers.h"
#include "userspace-proxy/ring/relay.h"

namespace leat::proxy {
namespace {

// What all streams of a tunnel have in common; it outlives them.
struct Inbound {
  WorkloadRef pod;
  SocketAddress local;  // of the pod, where the tunnel arrived
  SocketAddress peer;
};

// Whom the peer speaks for. Its word is taken only for the address of a pod whose identity it has proved; else it
// speaks for itself.
SocketAddress client_of(Worker& worker, const TunnelStream& stream, const Inbound& inbound) {
  const auto forwarded = hbone::Forwarded::parse(stream.request().forwarded);
  if (!forwarded) return inbound.peer;
  const WorkloadRef named = worker.mesh()->workload_at(forwarded->client.ip);
  const SpiffeId& proved = stream.connection().peer_id();
  const bool is_its_own = named && named->namespace_ == proved.ns && named->service_account == proved.service_account;
  return is_its_own ? forwarded->client : inbound.peer;
}

Reason check(const FlowRecord& record, const TunnelStream& stream, const Inbound& inbound) {
  if (record.server.ip != inbound.local.ip) return Reason::kWrongAuthority;
  if (record.server.port == LEAT_LISTENER_PORT) return Reason::kReservedPort;
  return decide(
      {.destination = *record.destination, .port = record.server.port, .client = &stream.connection().peer_id()});
}

// What HBONE peers read (ztunnel's choice of statuses).
uint32_t status_of(Reason reason) {
  switch (reason) {
    case Reason::kWrongAuthority:
    case Reason::kReservedPort:
      return 400;
    case Reason::kPlaintextDenied:
      return 401;
    default:
      return 503;
  }
}

// One CONNECT.
ring::Task<void> inbound_stream(Worker& worker, const Inbound& inbound, TunnelStream stream) {
  FlowRecord record(worker.flows, v1::FLOW_INBOUND);
  record.path = v1::PATH_HBONE;
  record.security = Security::kMtls;
  record.peer = stream.connection().peer();
  record.destination = inbound.pod;
  record.client = client_of(worker, stream, inbound);
  record.source = worker.mesh()->workload_at(record.client.ip);
  record.requested = record.server = stream.request().authority;

  if (const Reason refused = check(record, stream, inbound); refused != Reason::kNone) {
    stream.refuse(status_of(refused), refused);
    co_return record.fail(refused);
  }
  const PodLimits::Admission admission = worker.pods.admit(*inbound.pod);
  Outcome<Application> application = std::unexpected(Reason::kPodLimit);
  if (admission) application = co_await dial_application(worker, record, worker.loop.now() + worker.connect_timeout());
  if (!application) {
    stream.refuse(status_of(application.error()), application.error());
    co_return record.fail(application.error());
  }
  stream.accept({});
  ApplicationStream server(worker.loop, application->socket);
  record.close(co_await ring::relay(stream, server, record.bytes));
}

// A tunnel that never opened is a flow too: refused, with the reason.
void record_refusal(Worker& worker, const Inbound& inbound, Reason reason, std::string_view detail) {
  FlowRecord record(worker.flows, v1::FLOW_INBOUND);
  record.path = v1::PATH_HBONE;
  record.destination = inbound.pod;
  record.client = inbound.peer;
  record.source = worker.mesh()->workload_at(inbound.peer.ip);
  record.requested = record.server = inbound.local;
  log::info("tunnel from {} to {}/{} refused: {}{}{}", inbound.peer.text(), inbound.pod->namespace_, inbound.pod->name,
            sentence(reason), detail.empty() ? "" : ": ", detail);
  record.fail(reason);
}

}  // namespace

ring::Task<void> inbound_tunnel(Worker& worker, UniqueFd accepted, WorkloadRef pod) {
  ring::Socket socket(worker.loop, std::move(accepted));
  const Inbound inbound{std::move(pod), socket.local_address(), socket.peer_address()};
  const auto deadline = worker.loop.now() + limits::kHandshakeTimeout;

  PodLimits::Admission waiting = worker.pods.admit_waiting(*inbound.pod);
  Outcome<tls::CredentialsPtr> credentials = std::unexpected(Reason::kPodLimit);
  if (waiting) credentials = co_await worker.identities.credentials(*inbound.pod, deadline);
  waiting.release();
  if (!credentials) {
    socket.reset();
    co_return record_refusal(worker, inbound, credentials.error(), {});
  }

  const PodLimits::Admission admission = worker.pods.admit(*inbound.pod);  // a peer may open tunnels and never a stream
  if (!admission) {
    socket.reset();
    co_return record_refusal(worker, inbound, Reason::kPodLimit, {});
  }

  TunnelConnection* self = nullptr;
  std::optional<InboundTunnels::Listed> listed;
  TunnelConnection tunnel(
      worker.loop, worker.handshakes, std::move(socket),
      hbone::Tunnel::server(*credentials, worker.loop.buffers(), worker.hbone, worker.loop.now()),
      {.connect =
           [&](hbone::Stream& stream) { ring::start(inbound_stream(worker, inbound, TunnelStream(*self, stream))); },
       .changed =
           [&] {
             if (self->open()) listed->opened();
           }});
  self = &tunnel;
  listed.emplace(worker.inbound_tunnels, *inbound.pod, tunnel);
  co_await tunnel.run(deadline);
  if (!tunnel.peer()) record_refusal(worker, inbound, tunnel.failure(), tunnel.failure_text());
}

}  // namespace leat::proxy
