// leat-agent: the privileged half of a node. This class owns the parts and joins them; what each does stands in its own
// file:
//
//   sources/          the objects, of files or a cluster      reconciler.h      objects -> kernel and proxy, in an
//   order that is safe capture/          the kernel side                         proxy_channel.h   the proxies: lease,
//   model, listeners ca/               the built-in certificate authority      broker.h          what a proxy may ask
//   for state_folder.h    what survives a restart                 answers.h         what `leat` may ask for
//
// One thread. It reads what the cluster says and what its proxies ask; it never reads a byte that a pod sent, and holds
// no workload's key.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/answers.h"
#include "agent/api_server.h"
#include "agent/broker.h"
#include "agent/ca/ca.h"
#include "agent/capture/capture.h"
#include "agent/config.h"
#include "agent/flow_view.h"
#include "agent/proxy_channel.h"
#include "agent/reconciler.h"
#include "agent/source_ids.h"
#include "agent/sources/source.h"
#include "agent/state_folder.h"
#include "common/event_loop.h"
#include "common/result.h"

namespace leat::agent {

class Agent {
 public:
  // Takes over from an agent before it, if there is one: waits until that has left. Drops privileges.
  static Result<std::unique_ptr<Agent>> start(Config config);
  // Until SIGTERM or SIGINT. What is in the kernel stays in force.
  void run();
  ~Agent();

 private:
  struct FormerLease {
    uint64_t epoch = 0;
    std::string instance;  // empty: its process is gone
    std::optional<PeerProcess> process;
  };

  Agent(Config config, StateFolder state, std::unique_ptr<EventLoop> loop, std::unique_ptr<sources::Source> source,
        std::unique_ptr<capture::Capture> capture);

  Result<void> load_state();
  Result<FormerLease> read_lease() const;
  Result<void> open_sockets(FormerLease former);
  Result<void> save_books();
  Result<void> watch_signals();
  static Result<std::unique_ptr<sources::Source>> open_source(EventLoop& loop, const Config& config);
  void watch_source();
  void publish_pods();
  void watch_closed_flows();

  Reconciler::Tools reconciler_tools();
  ProxyChannel::Tools channel_tools();
  Broker::Tools broker_tools();
  Answers::Parts answer_parts();

  void publish(uint64_t generation, const v1::MeshChange& change);
  void open_ca();
  Result<std::vector<std::string>> sign(const std::string& identity, std::string_view csr_der);
  void on_request(ConnectionId connection, const std::string& instance, const v1::ToAgent& message);
  void answer_source_ids();
  void on_granted(uint64_t epoch, const std::string& instance, pid_t pid, const PeerProcess::Key& process);
  void on_armed(bool armed);
  void close_slots();
  void replace_listeners();
  void rebuild_missing_listeners();
  void release_unclaimed_later();

  Config config_;
  StateFolder state_;
  std::unique_ptr<EventLoop> loop_;
  UniqueFd signals_;
  std::unique_ptr<sources::Source> source_;
  std::unique_ptr<capture::Capture> capture_;
  std::optional<ca::CertificateAuthority> ca_;
  std::string ca_trust_domain_;
  std::string ca_error_;
  std::string capabilities_;

  control::Books books_;
  SourceIds source_ids_;
  uint64_t saved_aliases_ = 0, saved_pods_ = 0, saved_source_ids_ = 0;  // versions
  struct SourceIdAnswer {
    ConnectionId connection;
    std::string instance;
    v1::ToProxy message;
  };
  std::vector<SourceIdAnswer>
      source_id_answers_;  // wait for the ids to be saved and in the kernel: at the end of the turn

  std::unique_ptr<FlowNames> names_;
  ClosedFlows closed_flows_;
  bool slots_closed_ = false;
  uint64_t reset_connections_ = 0;  // that waited for a proxy in vain
  std::optional<std::chrono::system_clock::time_point> without_proxy_since_;
  EventLoop::TimerId no_proxy_timer_ = 0;
  EventLoop::TimerId listeners_timer_ = 0;
  EventLoop::TimerId claims_timer_ = 0;

  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Reconciler> reconciler_;
  std::unique_ptr<ProxyChannel> channel_;
  std::unique_ptr<Answers> answers_;
  std::unique_ptr<ApiServer> api_;
};

}  // namespace leat::agent
