#include "userspace-proxy/flow/outbound.h"

#include <algorithm>

#include "bpf/alias.h"
#include "userspace-proxy/flow/dial.h"
#include "userspace-proxy/flow/relay_flow.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

struct Connected {
  Upstream upstream;
  Balancer::Use use;
};

// Another endpoint may do better; with any other reason it would not.
bool is_endpoints_fault(Reason reason) {
  switch (reason) {
    case Reason::kRefused:
    case Reason::kUnreachable:
    case Reason::kConnectTimeout:
    case Reason::kTlsFailed:
    case Reason::kUntrustedPeer:
    case Reason::kUnexpectedIdentity:
    case Reason::kHandshakeTimeout:
    case Reason::kProtocolBreach:
    case Reason::kTunnelBroken:
    case Reason::kRefusedByPeer:
      return true;
    default:
      return false;
  }
}

// A pod addressed by its own IP, or a headless service's.
ring::Task<Outcome<Connected>> connect_to_pod(Worker& worker, FlowRecord& record, const Mesh& mesh,
                                              const Destination& to, EarlyBytes& early,
                                              ring::Clock::time_point deadline) {
  if (record.requested.port == LEAT_LISTENER_PORT) co_return std::unexpected(Reason::kReservedPort);
  const Backend pod{.target = record.requested, .uid = to.workload->uid, .workload = to.workload};
  record.attempts = 1;
  Outcome<Upstream> upstream = co_await dial(worker, record, mesh, pod, early, deadline);
  if (!upstream) co_return std::unexpected(upstream.error());
  co_return Connected{std::move(*upstream), {}};
}

// One endpoint after the other, until one is connected, the time is up, or one may have got the client's first bytes.
// An attempt that is not the last may take half of what is left.
ring::Task<Outcome<Connected>> connect_to_service(Worker& worker, FlowRecord& record, const Mesh& mesh,
                                                  const Destination& to, EarlyBytes& early,
                                                  ring::Clock::time_point deadline) {
  const Service::Port* port = to.service->find_port(record.requested.port, !to.address.is_v4());
  if (!port) co_return std::unexpected(Reason::kNoSuchPort);
  Candidates candidates = worker.balancer.candidates(*to.service, *port, to.remote_only, worker.loop.now());
  Reason failure = Reason::kNoEndpoint;
  while (const Backend* backend = candidates.next()) {
    const auto now = worker.loop.now();
    if (now >= deadline || record.attempts == limits::kMaxAttempts) break;
    ++record.attempts;
    Balancer::Use use = worker.balancer.use(backend->target);
    Outcome<Upstream> upstream =
        co_await dial(worker, record, mesh, *backend, early, candidates.more() ? now + (deadline - now) / 2 : deadline);
    if (upstream) {
      worker.balancer.succeeded(backend->target);
      co_return Connected{std::move(*upstream), std::move(use)};
    }
    failure = upstream.error();
    if (!is_endpoints_fault(failure)) break;
    worker.balancer.failed(backend->target, worker.loop.now());
    if (early.out) break;
  }
  co_return std::unexpected(failure);
}

// Everything up to a connected upstream. The mesh is held here only: once bytes flow, an old model may go. Not inlined:
// else the frames of all that is done here would be a part of the flow's, for as long as the connection lives.
[[gnu::noinline]] ring::Task<Outcome<Connected>> connect_upstream(Worker& worker, FlowRecord& record, ring::Socket& app) {
  const MeshRef mesh = worker.mesh();
  const std::optional<Destination> to = mesh->destination(record.requested.ip);
  if (!to) co_return std::unexpected(Reason::kNotAnAlias);
  record.requested.ip = to->address;
  record.server = record.requested;
  record.service = to->service;

  if (!to->service && !to->workload) co_return std::unexpected(Reason::kTargetGone);

  // A client that speaks first has often spoken already.
  ring::IoResult<ring::Chain> first = app.try_recv();
  if (!first) co_return std::unexpected(Reason::kClientReset);
  EarlyBytes early{.bytes = std::move(*first)};
  const auto deadline = worker.loop.now() + worker.connect_timeout();
  Outcome<Connected> connected = to->service ? co_await connect_to_service(worker, record, *mesh, *to, early, deadline)
                                             : co_await connect_to_pod(worker, record, *mesh, *to, early, deadline);
  if (!connected) co_return connected;
  if (early.out) {
    record.bytes.a_to_b += early.bytes.size();
  } else {
    app.unread(std::move(early.bytes));
  }
  co_return connected;
}

// An unbound socket that connects to an alias gets a loopback address; towards its destination it would have had its
// pod's.
SocketAddress client_of(const ring::Socket& app, const Workload& source) {
  SocketAddress client = app.peer_address();
  const auto own = std::ranges::find(source.addresses, client.ip.is_v4(), &IpAddress::is_v4);
  if (client.ip.is_loopback() && own != source.addresses.end()) client.ip = *own;
  return client;
}

}  // namespace

// Errors end the flow; the record says why, and the application sees a reset, never a clean end.
ring::Task<void> outbound(Worker& worker, UniqueFd accepted, WorkloadRef source) {
  FlowRecord record(worker.flows, v1::FLOW_OUTBOUND);  // visible in `leat flows` from here on
  ring::Socket app(worker.loop, std::move(accepted));
  record.source = std::move(source);
  record.client = client_of(app, *record.source);
  record.requested = app.local_address();
  const PodLimits::Admission admission = worker.pods.admit(*record.source);
  if (!admission) {
    app.reset();
    co_return record.fail(Reason::kPodLimit);
  }

  Outcome<Connected> connected = co_await connect_upstream(worker, record, app);
  if (!connected) {
    app.reset();
    co_return record.fail(connected.error());
  }
  record.close(co_await relay_flow(app, connected->upstream, record));
}

}  // namespace leat::proxy
