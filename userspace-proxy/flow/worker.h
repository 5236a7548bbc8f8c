// userspace-proxy/flow: what happens to connections. A Worker is one thread's share of the proxy: a loop, and
// everything that its flows use. Workers share nothing but the immutable mesh and credentials; the control thread
// speaks to one by posting to its loop. A flow is one coroutine (outbound, inbound_hbone, inbound_plaintext), written
// in the order in which a connection lives.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>

#include "leat.pb.h"
#include "userspace-proxy/balance/balancer.h"
#include "userspace-proxy/flow/agent_requests.h"
#include "userspace-proxy/flow/handshake_gate.h"
#include "userspace-proxy/flow/hedge_counters.h"
#include "userspace-proxy/flow/http_connections.h"
#include "userspace-proxy/flow/http_messages.h"
#include "userspace-proxy/flow/identities.h"
#include "userspace-proxy/flow/inbound_tunnels.h"
#include "userspace-proxy/flow/mirror_counters.h"
#include "userspace-proxy/flow/pod_limits.h"
#include "userspace-proxy/flow/server_name.h"
#include "userspace-proxy/flow/socket_broker.h"
#include "userspace-proxy/flow/source_ids.h"
#include "userspace-proxy/flow/span_exporter.h"
#include "userspace-proxy/flow/tunnel.h"
#include "userspace-proxy/flow/tunnel_pool.h"
#include "userspace-proxy/flow/upstream_pool.h"
#include "userspace-proxy/resilience/retry_budget.h"
#include "userspace-proxy/ring/acceptor.h"
#include "userspace-proxy/telemetry/access_log.h"
#include "userspace-proxy/telemetry/request_metrics.h"
#include "userspace-proxy/telemetry/request_tap.h"
#include "userspace-proxy/telemetry/tcp_metrics.h"
#include "userspace-proxy/telemetry/tracer.h"

namespace leat::proxy {

struct ListenerKey {
  std::string uid;
  v1::ListenerRole role;
  bool ipv6;
  auto operator<=>(const ListenerKey&) const = default;
};

// What a worker has counted, as it copies it for whoever makes text of it elsewhere.
struct WorkerReport {
  std::vector<v1::Counter> counters;
  RequestSeries requests;
  TcpSeries connections;
};

// Endpoints left out and limits met, of every port with a policy: what all workers know together, for any thread.
void report_pools(const Mesh& mesh, Clock::time_point now, const CounterSink& out);

class Worker {
 public:
  struct Options {
    int index = 0;
    uint64_t descriptors = 1024;             // that this process may have open
    std::atomic<uint64_t>* closed_sequence;  // shared by all workers
    std::atomic<uint64_t>* tapped_sequence;  // shared by all workers
    LogWriter* log = nullptr;                // shared; null: no access log
    AgentRequests agent;
    std::function<void(const ListenerKey&)> listener_died;
    std::function<void()> beat;  // called at least once a second while the loop turns
  };

  Worker(ring::Loop& on, Options options);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { flows.on_closed({}); }  // who would be told goes before the flows do

  // ---- the parts that flows use
 private:
  Options options_;

 public:
  ring::Loop& loop;
  FlowTable flows;
  RequestMetrics requests;
  TcpMetrics connections;
  Balancer balancer;
  SocketBroker broker;
  SourceIds source_ids;
  Identities identities;
  HandshakeGate handshakes;
  PodLimits pods;
  hbone::Counters hbone;
  TunnelPool tunnels;
  InboundTunnels inbound_tunnels;
  HttpConnections http;
  HttpMessageStock http_messages;
  UpstreamPool upstreams;
  http2::Counters http2;
  Http2Connections http2_clients;
  Http2Pool http2_upstreams;
  RetryBudgets retry_budgets;
  MirrorCounters mirrors;
  HedgeCounters hedges;
  ring::Clock::time_point next_origin_line{};  // of the log, about TLS that failed towards servers outside the mesh
  HelloCounters hellos;
  size_t replay_bytes = 0;  // kept of bodies, for another try
  Tracer tracer;
  SpanExporter spans;
  AccessLog access_log;
  RequestTap tap;

  [[nodiscard]] const MeshRef& mesh() const { return mesh_; }
  [[nodiscard]] SpiffeId identity_of(const Workload& pod) const;
  // The policy's, which may be null, else the mesh's.
  [[nodiscard]] std::chrono::milliseconds connect_timeout(const Policy* policy = nullptr) const;
  [[nodiscard]] uint32_t draw() { return random_(); }  // uniform

  // ---- what the control thread does, on this worker's loop
  void set_mesh(MeshRef mesh);
  // A listener is armed at once if the worker is armed.
  void add_listener(const ListenerKey& key, UniqueFd listener);
  void remove_listener(const ListenerKey& key);
  // The pod has left this node: nothing may keep its namespace alive but its last flows.
  void pod_gone(const std::string& uid);
  void arm();
  // `done` is called when no accept is armed any more; what was accepted goes on.
  void disarm(std::function<void()> done);
  // Tells peers to open nothing new; `done` is called when the last flow has ended.
  void drain(std::function<void()> done);
  // Copies what this worker has counted, in parts over several turns where that is much, then calls `done` on this
  // thread.
  void report(std::shared_ptr<WorkerReport> out, std::function<void()> done);

 private:
  void tend();
  void log_ejection(const Ejection& ejection);
  [[nodiscard]] bool quiet();
  void report_own(std::vector<v1::Counter>* out) const;
  ring::Task<void> retire(std::unique_ptr<ring::Acceptor> acceptor);
  ring::Task<void> disarm_all(std::function<void()> done);
  void accepted(const ListenerKey& key, UniqueFd connection);

  MeshRef mesh_ = make_ref<Mesh>();
  std::map<ListenerKey, std::unique_ptr<ring::Acceptor>> acceptors_;
  std::function<void()> drained_;
  ring::Timer tending_;
  ring::Clock::time_point next_trim_{};
  ring::Clock::time_point next_expiry_{};
  std::mt19937 random_;
  ring::Clock::time_point ejection_lines_until_{};
  uint32_t ejection_lines_ = 0;
  uint64_t accepted_ = 0;
  uint64_t unknown_pod_ = 0;
  bool armed_ = false;
};

}  // namespace leat::proxy
