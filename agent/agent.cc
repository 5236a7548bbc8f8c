#include "agent/agent.h"

#include <netinet/tcp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>

#include "agent/limits.h"
#include "agent/pod_events.h"
#include "agent/privileges.h"
#include "agent/seccomp_profile.h"
#include "agent/sources/file_source.h"
#include "agent/sources/kubernetes/kubernetes_source.h"
#include "agent/sources/kubernetes/pod_namespaces.h"
#include "common/log.h"
#include "common/spiffe.h"
#include "control/enrolment.h"
#include "control/host_answers.h"
#include "control/tls_secrets.h"

namespace leat::agent {
namespace {

constexpr char kAliasFile[] = "aliases", kPodFile[] = "pods", kSourceIdFile[] = "source-ids", kLeaseFile[] = "lease";

// A node full of pods has 6 listeners each, held here so that no proxy's death refuses a connection.
void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

// ---------------------------------------------------------------- start and end

Result<std::unique_ptr<Agent>> Agent::start(Config config) {
  raise_descriptor_limit();
  LEAT_TRY(auto loop, EventLoop::make());
  LEAT_TRY(StateFolder state, StateFolder::open(config.state, [&] {
             log::info("another agent has {}; waiting for it to leave", config.state);
           }));
  if (!config.proxy_seccomp.empty()) LEAT_TRY_VOID(install_seccomp_profile(config.proxy_seccomp));
  auto attachments = std::make_unique<sources::Attachments>();
  if (config.cni) *attachments = CniService::load_attachments(state);
  LEAT_TRY(auto source, open_source(*loop, config, *attachments));
  LEAT_TRY(auto capture, capture::Capture::open({.bpffs = config.bpffs,
                                                 .pods_cgroup = config.pods_cgroup,
                                                 .agent_cgroup = config.agent_cgroup,
                                                 .kubelet_cgroup = config.kubelet_cgroup}));
  std::unique_ptr<Agent> agent(new Agent(std::move(config), std::move(state), std::move(loop), std::move(attachments),
                                         std::move(source), std::move(capture)));
  LEAT_TRY_VOID(agent->load_state());
  LEAT_TRY_VOID(agent->watch_signals());
  LEAT_TRY(FormerLease former, agent->read_lease());
  const bool may_return = !former.instance.empty();
  LEAT_TRY_VOID(agent->open_remote_ca());
  LEAT_TRY_VOID(agent->open_sockets(std::move(former)));
  LEAT_TRY_VOID(agent->open_cni());
  LEAT_TRY(agent->capabilities_, drop_privileges());
  log::info("node {}: keeps {} and no_new_privs; listens on unix sockets in {} only", agent->config_.node,
            agent->capabilities_, agent->config_.state);

  agent->watch_source();
  agent->watch_closed_flows();
  agent->on_armed(false);
  // A proxy that lives gives its listeners back in its Hello; where none can, connections must find new ones at once.
  const auto wait = may_return ? limits::kAdoptDeadline : std::chrono::milliseconds(0);
  agent->loop_->after(wait, [self = agent.get()] { self->rebuild_missing_listeners(); });
  agent->release_unclaimed_later();
  return agent;
}

Agent::Agent(Config config, StateFolder state, std::unique_ptr<EventLoop> loop,
             std::unique_ptr<sources::Attachments> attachments, std::unique_ptr<sources::Source> source,
             std::unique_ptr<capture::Capture> capture)
    : config_(std::move(config)),
      state_(std::move(state)),
      loop_(std::move(loop)),
      attachments_(std::move(attachments)),
      source_(std::move(source)),
      capture_(std::move(capture)),
      source_ids_(books_.aliases) {
  source_->put_own(control::AgentSettings{.meta = {.name = {"", "default"}}, .ambient_label = config_.ambient_label});
  broker_ = std::make_unique<Broker>(broker_tools(), source_ids_, Clock::now());
  reconciler_ = std::make_unique<Reconciler>(*loop_, config_.node, books_, source_ids_, reconciler_tools());
  learn_local_pods();
}

Agent::~Agent() = default;

void Agent::run() {
  loop_->run();
  if (!leaves_node_) log::info("leaves; capture, listeners' slots and open connections stay in force");
}

Result<void> Agent::watch_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail_errno(errno, "watching for signals");
  loop_->watch(signals_.get(), EPOLLIN, [this](uint32_t) {
    loop_->forget(signals_.get());
    source_->ask_whether_to_leave([this](bool for_good) {
      leaves_node_ = for_good;
      loop_->stop();
    });
  });
  return {};
}

Result<std::unique_ptr<sources::Source>> Agent::open_source(EventLoop& loop, const Config& config,
                                                            const sources::Attachments& attachments) {
  if (!config.objects.empty()) {
    return sources::FileSource::open(config.objects, [&attachments](control::Pod& pod) { attachments.complete(pod); });
  }
  const Kubernetes& cluster = config.kubernetes;
  const auto namespaces = std::make_shared<sources::PodNamespaces>(cluster.netns, sources::read_addresses_in);
  LEAT_TRY(auto last_seen, sources::LastSeen::open(config.state + "/last-seen", boot_id()));
  return sources::KubernetesSource::open(
      loop, config.node, {.urls = cluster.servers, .token_file = cluster.token, .ca_file = cluster.ca}, attachments,
      std::move(last_seen), cluster.daemon_set, {cluster.lease.ns, cluster.lease.name},
      [namespaces](const control::Pod& pod, const control::ObjectSet& objects) {
        return namespaces->find(pod, objects);
      });
}

void Agent::watch_source() {
  source_->judged_by({.route_statuses = [this]() -> const auto& { return reconciler_->route_statuses(); },
                      .findings = [this]() -> const auto& { return reconciler_->findings(); }});
  source_->watch(*loop_, [this](Clock::time_point seen) {
    find_what_is_named();
    reconciler_->objects_changed(seen);
  });
}

// Hosts and files that objects name: what is found of them stands among the objects.
// All of a kind are looked through, but only when one of them has changed.
void Agent::find_what_is_named() {
  if (entries_.changed(source_->objects())) {
    for (const std::string& host : resolver_->want(control::hosts_to_resolve(source_->objects())))
      source_->remove_own({control::HostAnswer::kKind, {"", host}});
  }
  if (!rules_.changed(source_->objects())) return;
  TlsFiles::Difference files = tls_files_->want(control::tls_files(source_->objects()));
  for (const std::string& path : files.forgotten) source_->remove_own({control::TlsFile::kKind, {"", path}});
  for (control::TlsFile& file : files.read) source_->put_own(std::move(file));
}

// What the other nodes of a cluster are told.
void Agent::publish_pods() {
  std::vector<const v1::Workload*> captured;
  for (const auto& [uid, state] : reconciler_->pods()) {
    if (state.enrolment == "enrolled") captured.push_back(&state.pod.workload);
  }
  source_->publish(captured);
}

void Agent::tell_of_pod(const Reconciler::PodState& pod, const std::string& before) {
  const v1::Workload& workload = pod.pod.workload;
  const auto* object = source_->objects().find<control::Pod>({workload.namespace_(), workload.name()});
  const bool runs = object != nullptr && control::is_running(*object);
  const bool captured_before = captured_before_.find(fmt::format(" {}\n", workload.uid())) != std::string::npos;
  if (const auto event = pod_event(pod, before, captured_before, runs)) source_->tell(*event);
}

void Agent::watch_closed_flows() {
  loop_->watch(capture_->closed_flows_fd(), EPOLLIN, [this](uint32_t) {
    for (const capture::DirectFlow& flow : capture_->take_closed_flows()) closed_flows_.add(names_->direct(flow));
  });
}

Result<void> Agent::open_sockets(FormerLease former) {
  LEAT_TRY(resolver_, Resolver::open(*loop_, config_.dns_servers, [this](const control::HostAnswer& answer) {
             source_->put_own(answer);
             reconciler_->objects_changed(Clock::now());
           }));
  tls_files_ = std::make_unique<TlsFiles>(*loop_, config_.tls_files, [this](std::vector<control::TlsFile> files) {
    for (control::TlsFile& file : files) source_->put_own(std::move(file));
    reconciler_->objects_changed(Clock::now());
  });
  LeaseBook lease(former.epoch, former.instance, former.process.has_value(), Clock::now());
  LEAT_TRY(channel_, ProxyChannel::open(*loop_, config_.proxy_socket(), config_.proxy_user, config_.node,
                                        std::move(lease), std::move(former.process), channel_tools()));
  answers_ = std::make_unique<Answers>(answer_parts());
  LEAT_TRY(api_,
           ApiServer::open(*loop_, config_.api_socket(), [this](const v1::ApiRequest& request, ApiServer::Reply reply) {
             answers_->answer(request, std::move(reply));
           }));
  return {};
}

Result<void> Agent::open_cni() {
  if (!config_.cni) return {};
  LEAT_TRY(cni_,
           CniService::open(
               *loop_, config_, state_, *attachments_,
               {.objects = [this]() -> const control::ObjectSet& { return source_->objects(); },
                .attachment_changed = [this](const control::Name& pod) { source_->attachment_changed(pod); },
                .captured_cookie = [this](const std::string& uid) { return capture_->netns_cookie(uid); },
                .pods = [this]() -> const std::map<std::string, Reconciler::PodState>& { return reconciler_->pods(); },
                .tell = [this](const sources::PodEvent& event) { source_->tell(event); }}));
  return {};
}

// ---------------------------------------------------------------- what survives a restart

Result<void> Agent::load_state() {
  LEAT_TRY(const auto aliases, state_.read(kAliasFile));
  if (aliases) {
    LEAT_TRY(books_.aliases, control::AliasBook::load(*aliases));
  }
  LEAT_TRY(const auto pods, state_.read(kPodFile));
  if (pods) {
    LEAT_TRY(books_.pods, control::PodSlots::load(*pods));
    captured_before_ = *pods;
  }
  LEAT_TRY(const auto source_ids, state_.read(kSourceIdFile));
  if (source_ids) LEAT_TRY_VOID(source_ids_.load(*source_ids, Clock::now() + limits::kClaimDeadline));
  return {};
}

Result<Agent::FormerLease> Agent::read_lease() const {
  LEAT_TRY(const auto text, state_.read(kLeaseFile));
  if (!text) return FormerLease{};
  unsigned long long epoch = 0;
  char instance[limits::kMaxTextBytes + 1] = {};
  int pid = 0;
  unsigned long long birth = 0;  // this and the next are not there: written by an agent that did not know them
  char boot[64] = {};
  static_assert(limits::kMaxTextBytes == 256);
  if (std::sscanf(text->c_str(), "%llu %256s %d %llu %63s", &epoch, instance, &pid, &birth, boot) < 3) {
    return fail(ErrorCode::kInvalid, "{}/{} can't be read; remove it while no proxy runs", config_.state, kLeaseFile);
  }
  FormerLease former{.epoch = epoch, .instance = instance, .process = {}};
  const bool machine_was_restarted = *boot && boot != boot_id();
  // Process 0 is one of another pid namespace, which can't be asked.
  if (machine_was_restarted || (pid != 0 && kill(pid, 0) != 0)) former.instance.clear();
  if (boot == boot_id()) former.process = PeerProcess::find(pid, birth);
  return former;
}

Result<void> Agent::save_books() {
  if (books_.aliases.version() != saved_aliases_) {
    LEAT_TRY_VOID(state_.write(kAliasFile, books_.aliases.save()));
    saved_aliases_ = books_.aliases.version();
  }
  if (books_.pods.version() != saved_pods_) {
    LEAT_TRY_VOID(state_.write(kPodFile, books_.pods.save()));
    saved_pods_ = books_.pods.version();
  }
  if (source_ids_.version() != saved_source_ids_) {
    LEAT_TRY_VOID(state_.write(kSourceIdFile, source_ids_.save()));
    saved_source_ids_ = source_ids_.version();
  }
  return {};
}

// ---------------------------------------------------------------- how the parts reach one another

Reconciler::Tools Agent::reconciler_tools() {
  return {
      .objects = [this]() -> const control::ObjectSet& { return source_->objects(); },
      .source_findings = [this] { return source_->findings(); },
      .save_books = [this] { return save_books(); },
      .apply = [this](const capture::Plan& plan) { return capture_->apply(plan); },
      .publish = [this](uint64_t generation, const v1::MeshChange* change) { publish(generation, change); },
      .send_listeners = [this] { channel_->send_listeners(); },
      .proxy_armed = [this] { return channel_->armed(); },
      .pods_changed =
          [this] {
            publish_pods();
            if (cni_) cni_->pods_changed();
          },
      .judged = [this] { source_->judged(); },
      .pod_turned = [this](const Reconciler::PodState& pod, const std::string& before) { tell_of_pod(pod, before); }};
}

ProxyChannel::Tools Agent::channel_tools() {
  return {.mesh = [this] { return reconciler_->compiled().mesh(); },
          .roots = [this] { return roots(); },
          .listeners = [this] { return capture_->listeners(); },
          .adopt_listener = [this](const v1::ListenerId& id,
                                   UniqueFd socket) { return capture_->adopt_listener(id, std::move(socket)); },
          .listener_died =
              [this](const v1::ListenerId& id) {
                const auto made = capture_->rebuild_listener(id);
                if (made) return channel_->send_listeners();
                log::error("a dead listener of {} can't be made anew: {}", id.workload_uid(), made.error().message);
              },
          .request = [this](ConnectionId connection, const std::string& instance,
                            const v1::ToAgent& message) { on_request(connection, instance, message); },
          .certified = [this](const std::string& instance) { return broker_->has_all_certificates(instance); },
          .acknowledged = [this](uint64_t generation) { reconciler_->acknowledged(generation); },
          .granted = [this](uint64_t epoch, const std::string& instance, pid_t pid,
                            const PeerProcess::Key& process) { on_granted(epoch, instance, pid, process); },
          .replace_listeners = [this] { replace_listeners(); },
          .armed_changed = [this](bool armed) { on_armed(armed); },
          .instance_came =
              [this](const std::string& instance) {
                source_ids_.claim_anew(instance, Clock::now() + limits::kClaimDeadline);
                release_unclaimed_later();
              },
          .instance_gone =
              [this](const std::string& instance) {
                source_ids_.release_all(instance);
                broker_->forget(instance);
              }};
}

Broker::Tools Agent::broker_tools() {
  return {.make_sockets = [this](const std::string& pod, bool ipv6,
                                 uint32_t count) { return capture_->make_sockets(pod, ipv6, count); },
          .sign = [this](const Broker::Tools::Order& order,
                         std::function<void(Broker::Tools::Chain)> done) { sign(order, std::move(done)); }};
}

Answers::Parts Agent::answer_parts() {
  return {.config = config_,
          .capabilities = capabilities_,
          .capture = *capture_,
          .reconciler = *reconciler_,
          .channel = *channel_,
          .broker = *broker_,
          .closed_flows = closed_flows_,
          .names = [this]() -> const FlowNames& { return *names_; },
          .slots_closed = [this] { return slots_closed_; },
          .without_proxy_since = [this] { return without_proxy_since_; },
          .reset_connections = [this] { return reset_connections_; },
          .ca_error = [this] { return remote_ca_ ? remote_ca_->failure() : ca_error_; },
          .cni = [this] { return cni_.get(); }};
}

// ---------------------------------------------------------------- the model, and the CA that its trust domain asks for

void Agent::publish(uint64_t generation, const v1::MeshChange* change) {
  const bool of_local_pods = change == nullptr || change->has_settings() || change->removed_workloads_size() > 0 ||
                             std::ranges::any_of(change->workloads(), &v1::Workload::local);
  if (of_local_pods) learn_local_pods();
  if (!std::exchange(knows_pods_, true))
    loop_->after(std::chrono::milliseconds(0), [this] { answer_early_requests(); });
  open_ca();
  channel_->publish(generation, change);
}

void Agent::learn_local_pods() {
  const control::Compiler& compiled = reconciler_->compiled();
  v1::Mesh local = compiled.local_mesh();
  broker_->set_pods(local);
  names_ = std::make_unique<FlowNames>(
      config_.node, std::move(local),
      FlowNames::Elsewhere{
          .workload_at = [&compiled](const IpAddress& address) { return compiled.workload_at(address); },
          .service_at = [&compiled](const IpAddress& vip) { return compiled.service_at(vip); },
          .service_of_alias = [&compiled](uint32_t id) { return compiled.service_of_alias(id); }});
}

void Agent::open_ca() {
  if (remote_ca_) return;
  const std::string& trust_domain = reconciler_->settings().trust_domain();
  if (ca_ && ca_trust_domain_ == trust_domain) return;
  auto opened = ca::CertificateAuthority::open(config_.ca, trust_domain);
  ca_.reset();
  ca_error_.clear();
  ca_trust_domain_ = trust_domain;
  if (opened) {
    ca_.emplace(std::move(*opened));
    channel_->publish_roots();
  } else {
    ca_error_ = opened.error().message;
    log::error("no certificates can be issued: {}", ca_error_);
  }
}

Result<void> Agent::open_remote_ca() {
  if (config_.remote_ca.address.empty()) return {};
  LEAT_TRY(remote_ca_, ca::RemoteCa::open(*loop_, config_.remote_ca, [this] {
             if (channel_) channel_->publish_roots();
           }));
  return {};
}

std::vector<std::string> Agent::roots() const {
  if (remote_ca_) return remote_ca_->roots();
  return ca_ ? ca_->roots() : std::vector<std::string>{};
}

void Agent::sign(const Broker::Tools::Order& order, std::function<void(Broker::Tools::Chain)> done) {
  if (!remote_ca_) return done(sign_here(order.request));
  remote_ca_->sign({.who = order.who,
                    .identity = order.request.identity(),
                    .request_der = order.request.csr_der(),
                    .lifetime = std::chrono::seconds(reconciler_->settings().certificate_lifetime_s()),
                    .urgent = order.urgent},
                   std::move(done));
}

Result<std::vector<std::string>> Agent::sign_here(const v1::SignRequest& request) {
  if (!ca_) return fail(ErrorCode::kClosed, "the certificate authority is not there: {}", ca_error_);
  LEAT_TRY(const SpiffeId id, SpiffeId::parse(request.identity()));
  const std::chrono::seconds lifetime(reconciler_->settings().certificate_lifetime_s());
  LEAT_TRY(std::string leaf, ca_->sign(request.csr_der(), id, lifetime));
  return std::vector<std::string>{std::move(leaf)};
}

// ---------------------------------------------------------------- what proxies ask for

// A proxy finds a new agent at once, which reads the cluster's objects first: a refusal meanwhile would end connections
// for a pod that has been captured all the time. The proxy knows how long it waits.
bool Agent::comes_early(const v1::ToAgent& message) const {
  return !knows_pods_ && early_requests_.size() < limits::kEarlyRequestsMax &&
         (message.has_socket_request() || message.has_sign_request() || message.has_source_id_request());
}

void Agent::answer_early_requests() {
  for (const EarlyRequest& early : std::exchange(early_requests_, {}))
    on_request(early.connection, early.instance, early.message);
}

void Agent::on_request(ConnectionId connection, const std::string& instance, const v1::ToAgent& message) {
  if (comes_early(message)) return early_requests_.push_back({connection, instance, message});
  switch (message.kind_case()) {
    case v1::ToAgent::kSocketRequest: {
      auto [answer, sockets] = broker_->sockets(message.socket_request(), Clock::now());
      return channel_->send(connection, answer, std::move(sockets));
    }
    case v1::ToAgent::kSignRequest:
      return broker_->sign(instance, message.sign_request(), Clock::now(),
                           [this, connection](const v1::ToProxy& answer) {
                             channel_->send(connection, answer);
                             channel_->certificate_sent(connection);
                           });
    case v1::ToAgent::kSourceIdRequest: {
      if (source_id_answers_.empty()) loop_->after(std::chrono::milliseconds(0), [this] { answer_source_ids(); });
      source_id_answers_.push_back({connection, instance, broker_->source_id(instance, message.source_id_request())});
      return;
    }
    case v1::ToAgent::kCountersRequest:
      return answers_->counters_beside(instance, message.counters_request(),
                                       [this, connection](const auto& answer) { channel_->send(connection, answer); });
    case v1::ToAgent::kSourceIdRelease:
      if (!source_ids_.release(instance, message.source_id_release().id())) {
        log::debug("proxy {} gives back source id {}, which it does not have", instance,
                   message.source_id_release().id());
      }
      return;
    default:
      return;  // the channel keeps the other kinds to itself
  }
}

// All that were asked for in one turn, with one write of the books and one look at the kernel's map.
void Agent::answer_source_ids() {
  std::vector<SourceIdAnswer> answers = std::exchange(source_id_answers_, {});
  const bool new_ids = source_ids_.version() != saved_source_ids_;
  const Result<void> in_force = new_ids ? reconciler_->source_ids_changed() : Result<void>{};
  for (SourceIdAnswer& answer : answers) {
    v1::SourceId& reply = *answer.message.mutable_source_id();
    if (!in_force && reply.error().empty()) {
      source_ids_.release(answer.instance, reply.id());
      reply.clear_id();
      reply.set_error(in_force.error().message);
    }
    channel_->send(answer.connection, answer.message);
  }
}

// ---------------------------------------------------------------- proxies come and go

void Agent::on_granted(uint64_t epoch, const std::string& instance, pid_t pid, const PeerProcess::Key& process) {
  const std::string lease = fmt::format("{} {} {} {} {}\n", epoch, instance, pid, process.birth, boot_id());
  if (const auto saved = state_.write(kLeaseFile, lease); !saved) {
    log::error("a restarted agent will not know who is armed: {}", saved.error().message);
  }
  rebuild_missing_listeners();
}

void Agent::on_armed(bool armed) {
  loop_->cancel(std::exchange(no_proxy_timer_, 0));
  if (armed) {
    without_proxy_since_.reset();
    slots_closed_ = false;
    capture_->open_slots();
    return;
  }
  without_proxy_since_ = std::chrono::system_clock::now();
  // A Mesh object that changes the time meanwhile counts from the next loss on.
  const std::chrono::milliseconds timeout(reconciler_->settings().no_proxy_timeout_ms());
  no_proxy_timer_ = loop_->after(timeout, [this] { close_slots(); });
}

void Agent::close_slots() {
  log::error("no proxy: PERMISSIVE pods go untouched now, STRICT ones are refused");
  slots_closed_ = true;
  capture_->close_slots();
  replace_listeners();
}

// Connections that wait in a backlog, of a proxy that is gone or hangs, would wait for ever: they are reset, as a
// connect() is refused meanwhile. By ending the listener, never by accept(): whether that blocks is for the proxy to
// say, which shares the descriptor's flags.
void Agent::replace_listeners() {
  for (const capture::Listener& listener : capture_->listeners()) {
    if (listener.fd < 0) continue;
    tcp_info info{};
    socklen_t size = sizeof info;
    const bool known = getsockopt(listener.fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
    if (known) reset_connections_ += info.tcpi_unacked;  // of a listener: the length of its queue
    shutdown(listener.fd, SHUT_RDWR);
    const auto made = capture_->rebuild_listener(listener.id);
    if (!made) log::error("a listener of {} can't be made anew: {}", listener.id.workload_uid(), made.error().message);
  }
}

void Agent::rebuild_missing_listeners() {
  const auto made = capture_->rebuild_missing();
  if (!made) return log::error("listeners that were lost can't be made anew: {}", made.error().message);
  // A process that hangs out of reach holds its port until its own supervisor ends it.
  const auto lost = [](const capture::Listener& listener) { return listener.fd < 0; };
  loop_->cancel(std::exchange(listeners_timer_, 0));
  if (std::ranges::any_of(capture_->listeners(), lost))
    listeners_timer_ = loop_->after(limits::kRetryLostListeners, [this] { rebuild_missing_listeners(); });
  if (made->empty()) return;
  log::info("{} listeners that nobody held are made anew", made->size());
  if (channel_->armed()) channel_->send_listeners();
}

// One timer, however often a proxy connects.
void Agent::release_unclaimed_later() {
  if (claims_timer_ != 0) return;
  claims_timer_ = loop_->after(limits::kClaimDeadline, [this] {
    claims_timer_ = 0;
    if (source_ids_.release_unclaimed(Clock::now())) release_unclaimed_later();
  });
}

}  // namespace leat::agent
