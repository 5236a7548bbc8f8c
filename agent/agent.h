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
#include "agent/ca/remote_ca.h"
#include "agent/capture/capture.h"
#include "agent/cni/cni_service.h"
#include "agent/config.h"
#include "agent/flow_view.h"
#include "agent/proxy_channel.h"
#include "agent/reconciler.h"
#include "agent/resolver.h"
#include "agent/source_ids.h"
#include "agent/sources/attachments.h"
#include "agent/sources/source.h"
#include "agent/state_folder.h"
#include "agent/tls_files.h"
#include "common/event_loop.h"
#include "common/result.h"
#include "control/kind_watch.h"

namespace leat::agent {

class Agent {
 public:
  // Takes over from an agent before it, if there is one: waits until that has left. Drops privileges.
  static Result<std::unique_ptr<Agent>> start(Config config);
  // Until SIGTERM or SIGINT. What is in the kernel stays in force.
  void run();
  // Of run(): Leat is being uninstalled. What is in the kernel can be removed once this object is gone.
  [[nodiscard]] bool leaves_node() const { return leaves_node_; }
  ~Agent();

 private:
  struct FormerLease {
    uint64_t epoch = 0;
    std::string instance;  // empty: its process is gone
    std::optional<PeerProcess> process;
  };

  Agent(Config config, StateFolder state, std::unique_ptr<EventLoop> loop,
        std::unique_ptr<sources::Attachments> attachments, std::unique_ptr<sources::Source> source,
        std::unique_ptr<capture::Capture> capture);

  Result<void> load_state();
  Result<FormerLease> read_lease() const;
  Result<void> open_sockets(FormerLease former);
  Result<void> save_books();
  Result<void> watch_signals();
  static Result<std::unique_ptr<sources::Source>> open_source(EventLoop& loop, const Config& config,
                                                              const sources::Attachments& attachments);
  Result<void> open_cni();
  void watch_source();
  void find_what_is_named();
  void publish_pods();
  void tell_of_pod(const Reconciler::PodState& pod, const std::string& before);
  void watch_closed_flows();

  Reconciler::Tools reconciler_tools();
  ProxyChannel::Tools channel_tools();
  [[nodiscard]] bool comes_early(const v1::ToAgent& message) const;
  void answer_early_requests();
  Broker::Tools broker_tools();
  Answers::Parts answer_parts();

  void publish(uint64_t generation, const v1::MeshChange* change);
  void learn_local_pods();
  void open_ca();
  Result<void> open_remote_ca();
  void sign(const Broker::Tools::Order& order, std::function<void(Broker::Tools::Chain)> done);
  Result<std::vector<std::string>> sign_here(const v1::SignRequest& request);
  std::vector<std::string> roots() const;
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
  bool leaves_node_ = false;
  std::unique_ptr<sources::Attachments> attachments_;  // before the source, which reads it
  std::unique_ptr<sources::Source> source_;
  std::unique_ptr<capture::Capture> capture_;
  std::optional<ca::CertificateAuthority> ca_;
  std::string ca_trust_domain_;
  std::string ca_error_;
  std::unique_ptr<ca::RemoteCa> remote_ca_;  // there is this one or the one above
  std::string capabilities_;

  control::Books books_;
  std::string
      captured_before_;  // pods, by an agent before this one: as PodSlots::save() writes them, a uid ends its line
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
  struct EarlyRequest {
    ConnectionId connection;
    std::string instance;
    v1::ToAgent message;
  };
  std::vector<EarlyRequest> early_requests_;  // for pods, from before this agent knew of any
  bool knows_pods_ = false;
  std::unique_ptr<Reconciler> reconciler_;
  control::KindWatch entries_{control::ServiceEntry::kKind};   // that name hosts
  control::KindWatch rules_{control::DestinationRule::kKind};  // that name files
  std::unique_ptr<Resolver> resolver_;
  std::unique_ptr<TlsFiles> tls_files_;
  std::unique_ptr<ProxyChannel> channel_;
  std::unique_ptr<Answers> answers_;
  std::unique_ptr<ApiServer> api_;
  std::unique_ptr<CniService> cni_;  // null: not configured
};

}  // namespace leat::agent
