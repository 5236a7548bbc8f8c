#include "userspace-proxy/control_client.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

#include "common/log.h"

namespace leat::proxy {
namespace {

// Counts answers of all workers; the last one calls `then`.
std::function<void()> when_all(size_t count, std::function<void()> then) {
  struct Gate {
    std::atomic<size_t> left;
    std::function<void()> then;
  };
  auto gate = std::make_shared<Gate>(count, std::move(then));
  return [gate] {
    if (gate->left.fetch_sub(1) == 1) gate->then();
  };
}

ListenerKey key_of(const v1::ListenerId& id) { return {id.workload_uid(), id.role(), id.ipv6()}; }

void describe(const ListenerKey& key, uint64_t epoch, v1::ListenerId* id) {
  id->set_workload_uid(key.uid);
  id->set_role(key.role);
  id->set_ipv6(key.ipv6);
  id->set_epoch(epoch);
}

UniqueFd duplicate(const UniqueFd& fd) { return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0)); }

}  // namespace

ControlClient::ControlClient(EventLoop& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      certificates_(loop, {.sign =
                               [this](const v1::SignRequest& request) {
                                 v1::ToAgent message;
                                 *message.mutable_sign_request() = request;
                                 send(message);
                               },
                           .changed =
                               [this](const Certificates::Account& account, const tls::CredentialsPtr& credentials) {
                                 for (WorkerThread* worker : workers_) {
                                   worker->post([account, credentials](Worker& w) {
                                     w.identities.set(account.first, account.second, credentials);
                                   });
                                 }
                               }}) {
  loop_.watch(mailbox_.wake_fd(), EPOLLIN | EPOLLET, [this](uint32_t) { mailbox_.run_all(); });
}

ControlClient::~ControlClient() { loop_.forget(mailbox_.wake_fd()); }

// ---- workers

AgentRequests ControlClient::requests_of(size_t index) {
  return {
      .sockets = [this, index](
                     const std::string& uid, bool ipv6,
                     uint32_t count) { mailbox_.post([=, this] { request_sockets(index, uid, ipv6, count); }); },
      .source_id =
          [this, index](const IpAddress& address, const std::string& uid) {
            mailbox_.post([=, this] { request_source_id(index, address, uid); });
          },
      .source_id_unused =
          [this, index](const IpAddress& address) { mailbox_.post([=, this] { source_id_unused(index, address); }); },
  };
}

std::function<void(const ListenerKey&)> ControlClient::listener_died_handler() {
  return [this](const ListenerKey& key) { mailbox_.post([=, this] { listener_died(key); }); };
}

void ControlClient::on_all_workers(const std::function<void(Worker&)>& work, std::function<void()> then) {
  on_all_workers_until([work](Worker& worker, const std::function<void()>& done) { work(worker), done(); },
                       std::move(then));
}

void ControlClient::on_all_workers_until(const std::function<void(Worker&, std::function<void()>)>& work,
                                         std::function<void()> then) {
  const auto done = when_all(workers_.size(), [this, then = std::move(then)] { mailbox_.post(then); });
  for (WorkerThread* worker : workers_) {
    worker->post([work, done](Worker& w) { work(w, done); });
  }
}

// ---- the connection

void ControlClient::connected(UniqueFd socket) {
  connection_ = std::make_unique<MessageConnection>(
      loop_, MessageSocket(std::move(socket)),
      MessageConnection::Handlers{.message = [this](ReceivedMessage message) { on_message(std::move(message)); },
                                  .closed = [this](const Error& why) { on_disconnect(why); }});
  log::info("connected to the agent; model generation {}, lease {}, {} listeners", generation_, lease_epoch_,
            listeners_.size());
  say_hello();
  sockets_asked_.clear();  // answers to what was asked before are lost
  for (WorkerThread* worker : workers_) worker->post([](Worker& w) { w.broker.agent_returned(); });
  certificates_.agent_returned();
  for (const auto& [address, use] : source_ids_) ask_source_id(address, use.uid);
}

void ControlClient::say_hello() {
  v1::ToAgent message;
  v1::Hello* hello = message.mutable_hello();
  hello->set_version(LEAT_VERSION);
  hello->set_instance(options_.instance);
  hello->set_model_generation(generation_);
  hello->set_lease_epoch(lease_epoch_);
  hello->set_workers(static_cast<uint32_t>(workers_.size()));
  hello->set_backend(backend_);
  hello->set_pid(getpid());
  hello->set_listener_total(static_cast<uint32_t>(listeners_.size()));

  std::vector<int> fds;
  auto* ids = hello->mutable_listeners();
  for (const auto& [key, listener] : listeners_) {
    if (fds.size() == MessageSocket::kMaxFds) {
      connection_->send_borrowed(message, fds);
      fds.clear();
      ids = message.mutable_hello_listeners()->mutable_listeners();
      ids->Clear();
    }
    describe(key, listener.epoch, ids->Add());
    fds.push_back(listener.fd.get());
  }
  connection_->send_borrowed(message, fds);
}

void ControlClient::on_disconnect(const Error& why) {
  log::warn("the agent is gone ({}); the last model stays in force", why.message);
  connection_.reset();
  answer_reports();
  if (ending_) disarm_and_leave();
  if (!leaving_) options_.reconnect();
}

void ControlClient::send(const v1::ToAgent& message) {
  if (connection_) connection_->send(message);
}

void ControlClient::on_message(ReceivedMessage received) {
  v1::ToProxy message;
  if (!message.ParseFromString(received.bytes))
    return log::warn("a message of {} bytes from the agent can't be parsed; skipped", received.bytes.size());
  switch (message.kind_case()) {
    case v1::ToProxy::kLease:
      return on(message.lease());
    case v1::ToProxy::kRevoke:
      return on(message.revoke());
    case v1::ToProxy::kSnapshot:
      return on(*message.mutable_snapshot());
    case v1::ToProxy::kDelta:
      return on(message.delta());
    case v1::ToProxy::kListenerAdd:
      return on(message.listener_add(), std::move(received.fds));
    case v1::ToProxy::kListenerRemove:
      return on(message.listener_remove());
    case v1::ToProxy::kSockets:
      return on(message.sockets(), std::move(received.fds));
    case v1::ToProxy::kSigned:
      return certificates_.signed_by_ca(message.signed_());
    case v1::ToProxy::kRoots:
      return certificates_.set_roots(message.roots());
    case v1::ToProxy::kSourceId:
      return on(message.source_id());
    case v1::ToProxy::kFlowQuery:
      return on(message.flow_query());
    case v1::ToProxy::kStatsQuery:
      return on(message.stats_query());
    case v1::ToProxy::kTapQuery:
      return on(message.tap_query());
    case v1::ToProxy::kAgentCounters:
      return on(*message.mutable_agent_counters());
    case v1::ToProxy::KIND_NOT_SET:
      return log::warn("a message from the agent is of a kind that this version does not know; skipped");
  }
}

// ---- lease

void ControlClient::on(const v1::Lease& lease) {
  if (lease.epoch() < lease_epoch_)
    return log::warn("the agent grants lease {}, older than {}; skipped", lease.epoch(), lease_epoch_);
  const bool renewed = lease.epoch() == std::exchange(lease_epoch_, lease.epoch());
  if (leaving_) return confirm_revoked();  // granted before the agent knew
  state_ = State::kReady;
  if (!renewed) log::info("armed: lease {}", lease.epoch());
  for (WorkerThread* worker : workers_) worker->post([](Worker& w) { w.arm(); });
}

void ControlClient::on(const v1::Revoke& revoke) {
  log::info("lease {} is revoked: another proxy takes over", revoke.lease_epoch());
  disarm_and_leave();
  confirm_revoked();
}

// Who is replaced by a rollout was revoked before. Otherwise Leat is uninstalled, and its agent first lets the pods go;
// or this proxy alone was told, and the next one is on its way: meanwhile connections would wait, and fail.
void ControlClient::shut_down() {
  if (leaving_ || std::exchange(ending_, true)) return;
  if (state_ == State::kReady && connection_ && options_.successor_wait.count() > 0) {
    log::info("told to end: serves until another proxy does, {} ms at most", options_.successor_wait.count());
    loop_.after(options_.successor_wait, [this] { disarm_and_leave(); });
    return;
  }
  log::info("told to end: no new connections, draining");
  disarm_and_leave();
}

void ControlClient::disarm_and_leave() {
  if (std::exchange(leaving_, true)) return;
  state_ = State::kLeaving;
  options_.counters->stop_serving();
  listeners_.clear();
  on_all_workers_until([](Worker& worker, std::function<void()> done) { worker.disarm(std::move(done)); },
                       [this] {
                         disarmed_ = true;
                         confirm_revoked();
                         drain_then_leave();
                       });
}

// The agent arms nobody else before it has heard this, and ends a process that does not say it.
void ControlClient::confirm_revoked() {
  if (!disarmed_ || lease_epoch_ == 0) return;
  v1::ToAgent message;
  message.mutable_revoked()->set_lease_epoch(lease_epoch_);
  send(message);
}

void ControlClient::drain_then_leave() {
  loop_.after(std::chrono::milliseconds(mesh_->settings().drain_timeout_ms()), [this] {
    log::info("the drain deadline has come; what is still open is reset");
    options_.leave();
  });
  on_all_workers_until([](Worker& worker, std::function<void()> done) { worker.drain(std::move(done)); },
                       options_.leave);
}

// ---- model

void ControlClient::on(v1::Snapshot& snapshot) {
  std::vector<std::string> problems;
  install(Mesh::build(std::move(*snapshot.mutable_mesh()), &problems), snapshot.generation(), problems);
}

void ControlClient::on(const v1::Delta& delta) {
  if (delta.base_generation() != generation_) {
    log::warn("a change from generation {} came, this proxy has {}: asking for the whole model",
              delta.base_generation(), generation_);
    generation_ = 0;
    return connection_->close({ErrorCode::kProtocol, 0, "a change of another generation"});
  }
  std::vector<std::string> problems;
  install(Mesh::apply(*mesh_, delta.change(), &problems), delta.generation(), problems);
}

void ControlClient::install(MeshRef mesh, uint64_t generation, const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) log::warn("model generation {}: {}; left out", generation, problem);
  mesh_ = std::move(mesh);
  generation_ = generation;
  if (state_ == State::kNoModel) state_ = State::kNoLease;
  certificates_.want(mesh_->local_service_accounts(), mesh_->settings().trust_domain());
  on_all_workers([mesh = mesh_](Worker& worker) { worker.set_mesh(mesh); },
                 [this, generation] {
                   v1::ToAgent message;
                   message.mutable_ack()->set_generation(generation);
                   send(message);
                 });
}

// ---- listeners

// A pod's outbound listeners, IPv4 and IPv6, are one worker's, so that its tunnels are in one pool; its inbound ones
// are the next worker's.
size_t ControlClient::worker_for(const std::string& uid, v1::ListenerRole role) {
  const auto [found, fresh] = pod_workers_.try_emplace(uid, next_pod_worker_);
  if (fresh) next_pod_worker_ = (next_pod_worker_ + 1) % workers_.size();
  return role == v1::LISTENER_OUTBOUND ? found->second : (found->second + 1) % workers_.size();
}

void ControlClient::on(const v1::ListenerAdd& add, std::vector<UniqueFd> fds) {
  const ListenerKey key = key_of(add.id());
  const bool known_role =
      key.role == v1::LISTENER_OUTBOUND || key.role == v1::LISTENER_HBONE || key.role == v1::LISTENER_PLAINTEXT;
  if (fds.size() != 1 || key.uid.empty() || !known_role)
    return log::warn("a listener of pod '{}' came with {} descriptors, role {}; skipped", key.uid, fds.size(),
                     static_cast<int>(key.role));
  if (leaving_) return;
  Listener& listener = listeners_[key];
  if (add.id().epoch() < listener.epoch) return;
  const bool made_anew = listener.epoch != 0 && add.id().epoch() > listener.epoch;
  if (made_anew) {  // perhaps in another namespace: sockets and tunnels of the former one are of no use
    for (WorkerThread* worker : workers_) worker->post([uid = key.uid](Worker& w) { w.pod_gone(uid); });
  }
  listener.epoch = add.id().epoch();
  listener.worker = worker_for(key.uid, key.role);
  listener.fd = duplicate(fds[0]);
  workers_[listener.worker]->post([key, fd = std::make_shared<UniqueFd>(std::move(fds[0]))](Worker& worker) {
    worker.add_listener(key, std::move(*fd));
  });
}

void ControlClient::on(const v1::ListenerRemove& remove) {
  const ListenerKey key = key_of(remove.id());
  const auto found = listeners_.find(key);
  if (found == listeners_.end() || remove.id().epoch() < found->second.epoch) return;
  workers_[found->second.worker]->post([key](Worker& worker) { worker.remove_listener(key); });
  listeners_.erase(found);
  if (std::ranges::any_of(listeners_, [&](const auto& item) { return item.first.uid == key.uid; })) return;
  pod_workers_.erase(key.uid);
  for (WorkerThread* worker : workers_) worker->post([uid = key.uid](Worker& w) { w.pod_gone(uid); });
}

void ControlClient::listener_died(const ListenerKey& key) {
  const auto found = listeners_.find(key);
  if (found == listeners_.end()) return;
  v1::ToAgent message;
  describe(key, found->second.epoch, message.mutable_listener_died()->mutable_listener());
  send(message);
  found->second.fd.reset();  // not shown to a new agent: it would adopt a dead one
  listeners_.erase(found);
}

// ---- sockets and source ids

void ControlClient::request_sockets(size_t worker, const std::string& uid, bool ipv6, uint32_t count) {
  if (!connection_) return;  // asked again on return
  sockets_asked_[{uid, ipv6}].push_back({worker, count});
  v1::ToAgent message;
  message.mutable_socket_request()->set_workload_uid(uid);
  message.mutable_socket_request()->set_ipv6(ipv6);
  message.mutable_socket_request()->set_count(count);
  send(message);
}

void ControlClient::on(const v1::Sockets& sockets, std::vector<UniqueFd> fds) {
  const auto asked = sockets_asked_.find({sockets.workload_uid(), sockets.ipv6()});
  if (asked == sockets_asked_.end())
    return log::warn("the agent sent {} sockets of pod {} that nobody asked for", fds.size(), sockets.workload_uid());
  const SocketsAsked to = asked->second.front();
  asked->second.pop_front();
  if (asked->second.empty()) sockets_asked_.erase(asked);
  if (!sockets.error().empty()) log::warn("no sockets in pod {}: {}", sockets.workload_uid(), sockets.error());
  workers_[to.worker]->post([uid = sockets.workload_uid(), ipv6 = sockets.ipv6(), count = to.count,
                             batch = std::make_shared<std::vector<UniqueFd>>(std::move(fds))](Worker& worker) {
    worker.broker.arrived(uid, ipv6, count, std::move(*batch));
  });
}

void ControlClient::request_source_id(size_t worker, const IpAddress& address, const std::string& uid) {
  const auto [found, fresh] = source_ids_.try_emplace(address);
  SourceIdUse& use = found->second;
  use.workers.insert(worker);
  if (use.id) return workers_[worker]->post([address, id = use.id](Worker& w) { w.source_ids.arrived(address, id); });
  if (!fresh) return;  // asked already
  use.uid = uid;
  ask_source_id(address, uid);
}

void ControlClient::ask_source_id(const IpAddress& address, const std::string& uid) {
  v1::ToAgent message;
  message.mutable_source_id_request()->set_address(address.wire());
  message.mutable_source_id_request()->set_workload_uid(uid);
  send(message);
}

void ControlClient::on(const v1::SourceId& answer) {
  const auto address = IpAddress::from_wire(answer.address());
  const auto found = address ? source_ids_.find(*address) : source_ids_.end();
  if (found == source_ids_.end()) {  // its flows ended before it came
    if (answer.error().empty()) release_source_id(answer.id());
    return;
  }
  if (answer.error().empty()) found->second.id = answer.id();
  for (const size_t worker : found->second.workers) {
    workers_[worker]->post(
        [address = *address, id = found->second.id](Worker& w) { w.source_ids.arrived(address, id); });
  }
  if (!found->second.id) source_ids_.erase(found);
}

void ControlClient::source_id_unused(size_t worker, const IpAddress& address) {
  const auto found = source_ids_.find(address);
  if (found == source_ids_.end()) return;
  found->second.workers.erase(worker);
  if (!found->second.workers.empty()) return;
  if (found->second.id) release_source_id(*found->second.id);
  source_ids_.erase(found);
}

void ControlClient::release_source_id(uint32_t id) {
  v1::ToAgent message;
  message.mutable_source_id_release()->set_id(id);
  send(message);
}

// ---- questions

void ControlClient::on(const v1::FlowQuery& query) {
  // Flows that close from here on belong to the next question.
  const uint64_t until = options_.closed_sequence->load();
  auto flows = std::make_shared<std::vector<std::vector<v1::Flow>>>(workers_.size());
  const auto done = when_all(workers_.size(), [this, query, until, flows] {
    mailbox_.post([this, query, until, flows] {
      v1::ToAgent message;
      const auto flush = [&](bool last) {
        v1::FlowReply* reply = message.mutable_flow_reply();
        reply->set_request(query.request());
        reply->set_last(last);
        reply->set_next_closed_sequence(until);
        send(message);
        reply->Clear();
      };
      for (auto& part : *flows) {
        for (v1::Flow& flow : part) {
          message.mutable_flow_reply()->add_flows()->Swap(&flow);
          if (message.flow_reply().flows_size() == limits::kFlowsAMessage) flush(false);
        }
      }
      flush(true);
    });
  });
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->post([query, until, flows, done, i](Worker& worker) {
      worker.flows.report(query, until, &(*flows)[i]);
      done();
    });
  }
}

void ControlClient::on(const v1::TapQuery& query) {
  struct Part {
    std::vector<v1::TappedRequest> requests;
    uint64_t dropped = 0;
  };
  const uint64_t until = options_.tapped_sequence->load();
  auto parts = std::make_shared<std::vector<Part>>(workers_.size());
  const auto done = when_all(workers_.size(), [this, query, until, parts] {
    mailbox_.post([this, query, until, parts] {
      v1::ToAgent message;
      v1::TapReply& reply = *message.mutable_tap_reply();
      const auto flush = [&](bool last) {
        reply.set_request(query.request());
        reply.set_last(last);
        reply.set_next_sequence(until);
        send(message);
        reply.Clear();
      };
      uint64_t dropped = 0;
      for (Part& part : *parts) {
        dropped += part.dropped;
        for (v1::TappedRequest& request : part.requests) {
          reply.add_requests()->Swap(&request);
          if (reply.requests_size() == limits::kTappedAMessage) flush(false);
        }
      }
      reply.set_dropped(dropped);
      flush(true);
    });
  });
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->post([query, until, parts, done, i](Worker& worker) {
      Part& part = (*parts)[i];
      worker.tap.report(query.since_sequence(), until, worker.loop.now(), &part.requests);
      part.dropped = worker.tap.dropped();
      done();
    });
  }
}

void ControlClient::on(const v1::StatsQuery& query) {
  auto message = std::make_shared<v1::ToAgent>();
  v1::StatsReply* reply = message->mutable_stats_reply();
  reply->set_request(query.request());
  std::vector<v1::Certificate> certificates;
  certificates_.report(&certificates);
  for (v1::Certificate& certificate : certificates) reply->add_certificates()->Swap(&certificate);
  options_.counters->gather(
      mesh_, [reply](v1::Counter counter) { reply->add_counters()->Swap(&counter); },
      [this, message] { mailbox_.post([this, message] { send(*message); }); });
}

// ---- scrapes

void ControlClient::report(std::function<void(std::shared_ptr<scrape::ControlReport>)> done) {
  mailbox_.post([this, done = std::move(done)] {
    reports_.push_back(done);
    if (reports_.size() == 1) ask_agents_counters();
  });
}

void ControlClient::ask_agents_counters() {
  if (!connection_) return answer_reports();
  reports_timer_ = loop_.after(limits::kAgentCountersTime, [this] { answer_reports(); });
  v1::ToAgent message;
  message.mutable_counters_request()->set_request(++counters_request_);
  send(message);
}

void ControlClient::on(v1::AgentCounters& answer) {
  if (answer.request() != counters_request_) return;  // too late
  agents_counters_.assign(std::make_move_iterator(answer.mutable_counters()->begin()),
                          std::make_move_iterator(answer.mutable_counters()->end()));
  agents_counters_at_ = EventLoop::Clock::now();
  answer_reports();
}

// Without an agent with what it said last: a sum of its counters and ours must not shrink.
void ControlClient::answer_reports() {
  loop_.cancel(std::exchange(reports_timer_, 0));
  for (const auto& done : std::exchange(reports_, {})) {
    auto report = std::make_shared<scrape::ControlReport>(mesh_, agents_counters_);
    report_own(report->counters);
    done(std::move(report));
  }
}

void ControlClient::report_own(std::vector<v1::Counter>& out) const {
  const auto gauge = [&](const char* name, const LabelTexts& labels, double value) {
    out.push_back(counter_of(name, labels, value));
    out.back().set_gauge(true);
  };
  gauge("leat_proxy_info", {{"version", LEAT_VERSION}, {"backend", backend_}, {"instance", options_.instance}}, 1);
  gauge("leat_proxy_ready", {}, unready() ? 0 : 1);
  gauge("leat_proxy_workers", {}, static_cast<double>(workers_.size()));
  gauge("leat_proxy_lease_epoch", {}, static_cast<double>(lease_epoch_));
  gauge("leat_proxy_model_generation", {}, static_cast<double>(generation_));
  gauge("leat_proxy_agent_connected", {}, connection_ ? 1 : 0);
  if (agents_counters_at_ != EventLoop::Clock::time_point{}) {
    const std::chrono::duration<double> age = EventLoop::Clock::now() - agents_counters_at_;
    gauge("leat_proxy_agent_counters_age_seconds", {}, age.count());
  }
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out.push_back(counter_of("process_cpu_seconds_total", {}, seconds(used.ru_utime) + seconds(used.ru_stime)));
  std::vector<v1::Certificate> certificates;
  certificates_.report(&certificates);
  for (const v1::Certificate& each : certificates) {
    const LabelTexts labels{{"identity", each.identity()}};
    gauge("leat_certificate_valid", labels, each.state() == "valid" ? 1 : 0);
    if (each.not_after_ms() == 0) continue;
    gauge("leat_certificate_not_before_timestamp_seconds", labels, static_cast<double>(each.not_before_ms()) / 1e3);
    gauge("leat_certificate_not_after_timestamp_seconds", labels, static_cast<double>(each.not_after_ms()) / 1e3);
    gauge("leat_certificate_renewal_timestamp_seconds", labels, static_cast<double>(each.renew_at_ms()) / 1e3);
  }
}

std::optional<std::string> ControlClient::unready() const {
  switch (state_.load(std::memory_order_relaxed)) {
    case State::kNoModel:
      return "no model of the mesh yet: is leat-agent running on this node?";
    case State::kNoLease:
      return "the agent has not armed this proxy: it warms up, or another one of this node serves";
    case State::kLeaving:
      return "leaving: no new connections";
    case State::kReady:
      break;
  }
  return std::nullopt;
}

}  // namespace leat::proxy
