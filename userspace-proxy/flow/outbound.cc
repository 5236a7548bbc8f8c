#include "userspace-proxy/flow/outbound.h"

#include <algorithm>
#include <memory>

#include "bpf/alias.h"
#include "userspace-proxy/balance/hash_key.h"
#include "userspace-proxy/flow/choose_connection.h"
#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/connection_times.h"
#include "userspace-proxy/flow/dial.h"
#include "userspace-proxy/flow/http2_flow.h"
#include "userspace-proxy/flow/http_flow.h"
#include "userspace-proxy/flow/relay_flow.h"
#include "userspace-proxy/flow/server_name.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

using ConnectedUpstream = Connected<Upstream>;

// The very address that was asked for: a pod's (or a headless service's), or one of which the mesh knows nothing more.
ring::Task<Outcome<ConnectedUpstream>> connect_as_asked(Worker& worker, FlowRecord& record, const Mesh& mesh,
                                                        const WorkloadRef& pod, EarlyBytes& early) {
  if (pod && record.requested.port == LEAT_LISTENER_PORT) co_return std::unexpected(Reason::kReservedPort);
  const Backend backend{.target = record.requested, .uid = pod ? pod->uid : "", .workload = pod};
  record.attempts = 1;
  const auto deadline = worker.loop.now() + worker.connect_timeout();
  Outcome<Upstream> upstream = co_await dial(worker, record, mesh, backend, early, deadline);
  if (!upstream) co_return std::unexpected(upstream.error());
  co_return ConnectedUpstream{std::move(*upstream), {}, {}, {}};
}

ring::Task<Outcome<ConnectedUpstream>> connect_to_service(Worker& worker, FlowRecord& record, const Mesh& mesh,
                                                          const Destination& to, std::string_view server_name,
                                                          EarlyBytes& early) {
  const Outcome<ConnectionTarget> target = choose_connection(worker, record, mesh, to, server_name);
  if (!target) co_return std::unexpected(target.error());
  if (!target->service) co_return co_await connect_as_asked(worker, record, mesh, nullptr, early);
  const Service::Port* port = target->port;
  const auto now = worker.loop.now();
  const Policy* policy = port->policy.get();
  std::optional<Place> place = Place::take_now(*port, Limit::kConnections);
  if (!place) co_return std::unexpected(Reason::kConnectionLimit);
  const std::optional<uint64_t> hash = policy ? hash_key(*policy, record.client.ip) : std::nullopt;
  Candidates candidates = worker.balancer.candidates(*target->service, *port, target->remote_only, now, hash);
  if (policy && policy->algorithm == v1::LB_PASSTHROUGH) candidates.only_at(record.requested.ip);
  Outcome<ConnectedUpstream> connected = co_await connect_to_one_of<Upstream>(
      worker, record, candidates, now + worker.connect_timeout(policy),
      [&](const Backend& backend, ring::Clock::time_point until) {
        return dial(worker, record, mesh, backend, early, until);
      },
      [&] { return !early.out; });
  if (!connected) co_return connected;
  worker.balancer.measured(connected->use, worker.loop.now());
  connected->place = std::move(*place);
  connected->policy = port->policy;
  co_return connected;
}

// Everything up to a connected upstream. The mesh is held here only: once bytes flow, an old model may go. Not inlined:
// else the frames of all that is done here would be a part of the flow's, for as long as the connection lives.
template <typename Client>
[[gnu::noinline]] ring::Task<Outcome<ConnectedUpstream>> connect_upstream(Worker& worker, FlowRecord& record,
                                                                          Client& client, const IpAddress& alias,
                                                                          std::string_view server_name) {
  const MeshRef mesh = worker.mesh();
  const std::optional<Destination> to = mesh->destination(alias);
  if (!to) co_return std::unexpected(Reason::kNotAnAlias);
  record.service = to->service;
  if (!to->service && !to->workload) co_return std::unexpected(Reason::kTargetGone);

  EarlyBytes early;
  if constexpr (std::is_same_v<Client, ring::Socket>) {  // a client that speaks first has often spoken already
    ring::IoResult<ring::Chain> first = client.try_recv();
    if (!first) co_return std::unexpected(Reason::kClientReset);
    early.bytes = std::move(*first);
  }
  Outcome<ConnectedUpstream> connected =
      to->service ? co_await connect_to_service(worker, record, *mesh, *to, server_name, early)
                  : co_await connect_as_asked(worker, record, *mesh, to->workload, early);
  if constexpr (std::is_same_v<Client, ring::Socket>) {
    if (early.out) {
      record.bytes.a_to_b += early.bytes.size();
    } else {
      client.unread(std::move(early.bytes));
    }
  }
  co_return connected;
}

// A connection whose bytes nobody looks at. Errors end the flow; the record says why, and the application sees a reset,
// never a clean end.
template <typename Client>
ring::Task<void> relay_opaque(Worker& worker, FlowRecord& record, Client& client, const IpAddress& alias,
                              std::string_view server_name = {}) {
  Outcome<ConnectedUpstream> connected = co_await connect_upstream(worker, record, client, alias, server_name);
  if (!connected) {
    client.reset();
    co_return record.fail(connected.error());
  }
  std::unique_ptr<ConnectionTimes> times;  // its room would be a part of every connection's frame
  if (connected->policy && ConnectionTimes::are_limited(connected->policy->limits)) {
    times = std::make_unique<ConnectionTimes>(worker.loop, connected->policy->limits, record.bytes, [&] {
      client.reset();
      std::visit([](auto& stream) { stream.reset(); }, connected->upstream);
    });
  }
  const ring::RelayResult result = co_await relay_flow(client, connected->upstream, record);
  if (times && times->reason() != Reason::kNone) co_return record.close(Verdict::kReset, times->reason());
  worker.balancer.ended(connected->use, result.end == ring::RelayResult::End::kBFailed, worker.loop.now());
  record.close(result);
}

// The application's own TLS, which passes through. Not inlined, for it keeps the name.
[[gnu::noinline]] ring::Task<void> relay_tls(Worker& worker, FlowRecord& record, HttpClient& client,
                                             const IpAddress& alias) {
  const std::string server_name =
      co_await read_server_name(worker.loop, client, worker.loop.now() + limits::kDetectTimeout, worker.hellos);
  co_await relay_opaque(worker, record, client, alias, server_name);
}

// A connection to a port that is HTTP or TLS, or may be. Not inlined, for it would make the frame of every other flow
// larger.
[[gnu::noinline]] ring::Task<void> outbound_http(Worker& worker, FlowRecord& record, ring::Socket app,
                                                 const IpAddress& alias, v1::Protocol protocol) {
  HttpClient client{AnyStream(std::move(app))};
  HttpConnections::Place place(worker.http, *client.stream().socket(), record.source->uid, worker.loop.now());
  const bool is_declared = protocol == v1::PROTOCOL_HTTP || protocol == v1::PROTOCOL_HTTP2;
  const auto patience = is_declared ? ring::Clock::time_point::max() : worker.loop.now() + limits::kDetectTimeout;
  const FirstBytes spoken = co_await classify(worker.loop, client, patience);
  if (spoken == FirstBytes::kHttp1) {
    co_await serve_http(worker, record, client, place, alias);
  } else if (spoken == FirstBytes::kHttp2) {
    place.waits(HttpConnections::Waits::kForNothing, worker.loop.now());
    co_await serve_http2(worker, record, client, alias);
  } else if (spoken == FirstBytes::kTls && !is_declared) {
    place.waits(HttpConnections::Waits::kForNothing, worker.loop.now());
    co_await relay_tls(worker, record, client, alias);
  } else if (place.overdue()) {
    record.close(Verdict::kOk, Reason::kNone);  // it has never said a word
  } else {
    place.waits(HttpConnections::Waits::kForNothing, worker.loop.now());
    if (protocol == v1::PROTOCOL_TLS) ++(client.ahead() ? worker.hellos.not_tls : worker.hellos.late);
    co_await relay_opaque(worker, record, client, alias);
  }
  co_await client.close();
}

// An unbound socket that connects to an alias gets a loopback address; towards its destination it would have had its
// pod's.
SocketAddress client_of(const ring::Socket& app, const Workload& source) {
  SocketAddress client = app.peer_address();
  const auto own = std::ranges::find(source.addresses, client.ip.is_v4(), &IpAddress::is_v4);
  if (client.ip.is_loopback() && own != source.addresses.end()) client.ip = *own;
  return client;
}

// Says in `record` what the application asked for; what its bytes are to be taken for.
v1::Protocol look_up(const Mesh& mesh, FlowRecord& record) {
  const std::optional<Destination> to = mesh.destination(record.requested.ip);
  if (!to) return v1::PROTOCOL_TCP;
  record.requested.ip = to->address;
  record.server = record.requested;
  record.service = to->service;
  return to->protocol_at(record.requested.port);
}

}  // namespace

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

  const IpAddress alias = record.requested.ip;
  const v1::Protocol protocol = look_up(*worker.mesh(), record);
  if (protocol != v1::PROTOCOL_TCP) {
    co_await outbound_http(worker, record, std::move(app), alias, protocol);
  } else {
    co_await relay_opaque(worker, record, app, alias);
  }
}

}  // namespace leat::proxy
