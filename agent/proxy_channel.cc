#include "agent/proxy_channel.h"

#include <sys/socket.h>

#include <algorithm>

#include "agent/limits.h"
#include "common/log.h"

namespace leat::agent {
namespace {

using Kind = v1::ToAgent::KindCase;

}  // namespace

Result<std::unique_ptr<ProxyChannel>> ProxyChannel::open(EventLoop& loop, const std::string& path, uid_t proxy_user,
                                                         std::string node, LeaseBook lease,
                                                         std::optional<PeerProcess> former, Tools tools) {
  LEAT_TRY(UniqueFd listener, MessageSocket::listen_at(path, 0600));
  if (chown(path.c_str(), proxy_user, static_cast<gid_t>(-1)) < 0)
    return fail_errno(errno, "giving {} to user {}", path, proxy_user);
  return std::unique_ptr<ProxyChannel>(new ProxyChannel(loop, std::move(listener), proxy_user, std::move(node),
                                                        std::move(lease), std::move(former), std::move(tools)));
}

ProxyChannel::ProxyChannel(EventLoop& loop, UniqueFd listener, uid_t proxy_user, std::string node, LeaseBook lease,
                           std::optional<PeerProcess> former, Tools tools)
    : loop_(loop),
      listener_(std::move(listener)),
      proxy_user_(proxy_user),
      node_(std::move(node)),
      lease_(std::move(lease)),
      tools_(std::move(tools)) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
  if (!former) return;
  const PeerProcess::Key key = former->key();
  watch_process(std::move(*former));
  processes_.at(key).connections.push_back(LeaseBook::kFormerConnection);
}

ProxyChannel::~ProxyChannel() {
  loop_.forget(listener_.get());
  loop_.cancel(lease_timer_);
  for (auto& [key, process] : processes_) loop_.forget(process.peer.exit_fd());
  for (auto& [request, question] : questions_) loop_.cancel(question.timer);
}

// ---------------------------------------------------------------- connections

void ProxyChannel::accept_all() {
  for (;;) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size);
    if (peer.uid != proxy_user_) {
      ++counters_.foreign_users;
      log::warn("process {} of user {} wants to be this node's proxy: refused; proxy_user is {}", peer.pid, peer.uid,
                proxy_user_);
    } else if (proxies_.size() >= limits::kMaxProxyConnections) {
      log::warn("process {} wants to be this node's proxy: refused; {} are connected", peer.pid, proxies_.size());
    } else {
      add(std::move(socket));
    }
  }
}

void ProxyChannel::add(UniqueFd socket) {
  ++counters_.connections;
  const ConnectionId id = next_id_++;
  PeerProcess peer = PeerProcess::of(socket.get(), id);
  auto proxy = std::make_unique<Proxy>(id, peer.key(), peer.pid(), Clock::now());
  watch_process(std::move(peer));
  Proxy& added = *proxy;
  added.connection = std::make_unique<MessageConnection>(
      loop_, MessageSocket(std::move(socket), limits::kMaxProxyMessageBytes, limits::kMaxProxyQueueBytes),
      MessageConnection::Handlers{
          .message = [this, &added](ReceivedMessage received) { on_message(added, std::move(received)); },
          .closed = [this, id](const Error& reason) { on_closed(id, reason); }});
  proxies_.emplace(id, std::move(proxy));
}

void ProxyChannel::watch_process(PeerProcess peer) {
  const PeerProcess::Key key = peer.key();
  if (processes_.contains(key) || peer.exit_fd() < 0 || key.connection != 0) return;  // its connection stands for it
  loop_.watch(peer.exit_fd(), EPOLLIN, [this, key](uint32_t) { on_exit(key); });
  processes_.emplace(key, Process{.peer = std::move(peer), .instances = {}, .connections = {}});
}

void ProxyChannel::on_closed(ConnectionId id, const Error& reason) {
  const auto found = proxies_.find(id);
  const std::unique_ptr<Proxy> proxy = std::move(found->second);
  proxies_.erase(found);
  log::info("proxy {} (process {}) is disconnected: {}", proxy->hello.instance(), proxy->pid, reason.message);
  for (auto& [request, question] : questions_) {
    if (question.waiting.erase(id) == 0) continue;
    question.answers.silent.push_back(proxy->hello.instance());
    if (question.waiting.empty())
      loop_.after(std::chrono::milliseconds(0), [this, request] { finish_question(request); });
  }
  const auto now = Clock::now();
  LeaseBook::Actions actions = lease_.disconnected(id, now);
  if (!processes_.contains(proxy->process)) {
    actions = lease_.exited(id, now);
    if (proxy->session.greeted()) tools_.instance_gone(proxy->hello.instance());
  }
  perform(actions);
}

void ProxyChannel::on_exit(const PeerProcess::Key& key) {
  const Process process = std::move(processes_.extract(key).mapped());
  loop_.forget(process.peer.exit_fd());
  for (const ConnectionId id : process.connections) perform(lease_.exited(id, Clock::now()));
  for (const std::string& instance : process.instances) tools_.instance_gone(instance);
}

// ---------------------------------------------------------------- what a proxy says

void ProxyChannel::on_message(Proxy& proxy, ReceivedMessage received) {
  auto accepted = proxy.session.accept(received.bytes, received.fds.size(), Clock::now());
  if (!accepted) {
    ++counters_.violations;
    log::error("proxy {} (process {}) broke the protocol and is disconnected: {}", proxy.hello.instance(), proxy.pid,
               accepted.error().message);
    return proxy.connection->close(std::move(accepted).error());
  }
  if (const auto delay = proxy.session.take_delay(); delay.count() > 0) proxy.connection->pause_reading(delay);
  if (!*accepted) return log::debug("proxy {} sent a message of a kind that is not known here", proxy.hello.instance());

  v1::ToAgent& message = **accepted;
  switch (message.kind_case()) {
    case Kind::kHello:
      return on_hello(proxy, *message.mutable_hello(), std::move(received.fds));
    case Kind::kHelloListeners:
      return on_listeners(proxy, message.hello_listeners().listeners(), std::move(received.fds));
    case Kind::kAck:
      return on_acknowledged(proxy, message.ack().generation());
    case Kind::kRevoked:
      return perform(lease_.revoked(proxy.id, message.revoked().lease_epoch(), Clock::now()));
    case Kind::kListenerDied:
      return tools_.listener_died(message.listener_died().listener());
    case Kind::kFlowReply: {
      const uint64_t request = message.flow_reply().request();
      const bool last = message.flow_reply().last();
      return on_reply(proxy, request, last, std::move(message));
    }
    case Kind::kTapReply: {
      const uint64_t request = message.tap_reply().request();
      const bool last = message.tap_reply().last();
      return on_reply(proxy, request, last, std::move(message));
    }
    case Kind::kStatsReply: {
      const uint64_t request = message.stats_reply().request();
      return on_reply(proxy, request, true, std::move(message));
    }
    default:
      return tools_.request(proxy.id, proxy.hello.instance(), message);
  }
}

void ProxyChannel::on_hello(Proxy& proxy, v1::Hello& hello, std::vector<UniqueFd> fds) {
  proxy.hello = hello;
  proxy.hello.clear_listeners();
  if (const auto process = processes_.find(proxy.process); process != processes_.end()) {
    process->second.instances.insert(hello.instance());
    process->second.connections.push_back(proxy.id);
  }
  log::info(
      "proxy {} (process {}, version {}, {} workers, {}) is connected; it holds {} listeners and model generation {}",
      hello.instance(), proxy.pid, hello.version(), hello.workers(), hello.backend(), proxy.hello.listener_total(),
      hello.model_generation());
  tools_.instance_came(hello.instance());
  v1::ToProxy roots;
  for (std::string& root : tools_.roots()) roots.mutable_roots()->add_root_der(std::move(root));
  if (roots.has_roots()) proxy.connection->send(roots);
  if (generation_ != 0) send_snapshot(proxy);
  on_listeners(proxy, hello.listeners(), std::move(fds));
}

void ProxyChannel::on_listeners(Proxy& proxy, const google::protobuf::RepeatedPtrField<v1::ListenerId>& ids,
                                std::vector<UniqueFd> fds) {
  for (int i = 0; i < ids.size(); ++i) {
    const v1::ListenerId& id = ids[i];
    proxy.listeners.emplace(id.workload_uid(), id.role(), id.ipv6(), id.epoch());
    if (const auto adopted = tools_.adopt_listener(id, std::move(fds[static_cast<size_t>(i)])); !adopted) {
      log::debug("a listener of {} that the proxy holds is not taken over: {}", id.workload_uid(),
                 adopted.error().message);
    }
  }
  // Only with all of them here is it clear which listeners nobody holds.
  if (!proxy.session.listeners_complete() || proxy.leased) return;
  proxy.leased = true;
  perform(lease_.hello(proxy.id, proxy.hello.instance(), proxy.hello.lease_epoch(), Clock::now()));
}

void ProxyChannel::on_acknowledged(Proxy& proxy, uint64_t generation) {
  proxy.acknowledged_generation = std::max(proxy.acknowledged_generation, generation);
  certificate_sent(proxy.id);
  if (lease_.armed() == proxy.id) tools_.acknowledged(generation);
}

void ProxyChannel::certificate_sent(ConnectionId connection) {
  const auto found = proxies_.find(connection);
  if (found == proxies_.end() || found->second->acknowledged_generation == 0) return;
  if (tools_.certified(found->second->hello.instance())) perform(lease_.ready(connection, Clock::now()));
}

// ---------------------------------------------------------------- the lease

void ProxyChannel::perform(const LeaseBook::Actions& actions) {
  for (const LeaseAction& action : actions) {
    switch (action.kind) {
      case LeaseAction::Kind::kGrant:
        grant(action.connection, action.epoch);
        break;
      case LeaseAction::Kind::kRevoke: {
        v1::ToProxy revoke;
        revoke.mutable_revoke()->set_lease_epoch(action.epoch);
        log::info("the proxy with lease {} is asked to disarm", action.epoch);
        send(action.connection, revoke);
        break;
      }
      case LeaseAction::Kind::kEnd:
        end_process(action.connection);
        break;
    }
  }
  rearm_lease_timer();
  if (was_armed_ == armed()) return;
  was_armed_ = armed();
  tools_.armed_changed(was_armed_);
}

void ProxyChannel::grant(ConnectionId id, uint64_t epoch) {
  Proxy& proxy = *proxies_.at(id);
  ++counters_.grants;
  log::info("proxy {} (process {}) is armed with lease {}", proxy.hello.instance(), proxy.pid, epoch);
  tools_.granted(epoch, proxy.hello.instance(), proxy.pid, proxy.process);
  v1::ToProxy lease;
  lease.mutable_lease()->set_epoch(epoch);
  proxy.connection->send(lease);
  send_listeners(proxy);
}

void ProxyChannel::end_process(ConnectionId id) {
  ++counters_.ended;
  const Process* process = process_behind(id);
  const Result<void> ended = process ? process->peer.kill() : fail(ErrorCode::kNotFound, "it has no handle here");
  if (ended) return log::error("the proxy with the lease (process {}) hangs: it is ended", process->peer.pid());
  // Out of reach, as in another pid namespace. It is armed for as long as its listeners live: those end, wherever it
  // holds them, and the next proxy is armed on new ones.
  log::error("the proxy with the lease hangs, and can't be ended from here ({}): its listeners are replaced",
             ended.error().message);
  tools_.replace_listeners();
  if (const auto found = proxies_.find(id); found != proxies_.end()) {
    found->second->connection->close({.code = ErrorCode::kTimeout, .message = "it did not disarm"});
  }
  perform(lease_.exited(id, Clock::now()));
}

ProxyChannel::Process* ProxyChannel::process_behind(ConnectionId id) {
  const auto found = std::ranges::find_if(processes_, [&](const auto& entry) {
    return std::ranges::find(entry.second.connections, id) != entry.second.connections.end();
  });
  return found == processes_.end() ? nullptr : &found->second;
}

void ProxyChannel::rearm_lease_timer() {
  loop_.cancel(std::exchange(lease_timer_, 0));
  const auto deadline = lease_.next_deadline();
  if (!deadline) return;
  const auto left =
      std::max(std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()), std::chrono::milliseconds(0));
  lease_timer_ = loop_.after(left, [this] {
    lease_timer_ = 0;
    perform(lease_.tick(Clock::now()));
  });
}

// ---------------------------------------------------------------- what proxies are told

void ProxyChannel::publish(uint64_t generation, const v1::MeshChange* change) {
  const uint64_t base = std::exchange(generation_, generation);
  v1::ToProxy delta;
  delta.mutable_delta()->set_base_generation(base);
  delta.mutable_delta()->set_generation(generation);
  if (change != nullptr) *delta.mutable_delta()->mutable_change() = *change;
  for (auto& [id, proxy] : proxies_) {
    if (!proxy->session.greeted()) continue;
    if (proxy->sent_generation != base || base == 0 || change == nullptr) {
      send_snapshot(*proxy);
      continue;
    }
    proxy->sent_generation = generation;
    proxy->session.sent(generation);
    proxy->connection->send(delta);
  }
}

void ProxyChannel::send_snapshot(Proxy& proxy) {
  v1::ToProxy message;
  v1::Snapshot& snapshot = *message.mutable_snapshot();
  snapshot.set_generation(generation_);
  snapshot.set_node(node_);
  *snapshot.mutable_mesh() = tools_.mesh();
  proxy.sent_generation = generation_;
  proxy.session.sent(generation_);
  proxy.connection->send(message);
}

void ProxyChannel::publish_roots() {
  v1::ToProxy message;
  for (std::string& root : tools_.roots()) message.mutable_roots()->add_root_der(std::move(root));
  for (auto& [id, proxy] : proxies_) {
    if (proxy->session.greeted()) proxy->connection->send(message);
  }
}

void ProxyChannel::send_listeners() {
  if (const auto id = lease_.armed()) send_listeners(*proxies_.at(*id));
}

void ProxyChannel::send_listeners(Proxy& proxy) {
  std::set<ListenerKey> wanted;
  for (const capture::Listener& listener : tools_.listeners()) {
    const v1::ListenerId& id = listener.id;
    ListenerKey key(id.workload_uid(), id.role(), id.ipv6(), id.epoch());
    if (!proxy.listeners.contains(key)) {
      if (listener.fd < 0) continue;  // nobody has given it back yet; granted() makes it anew
      v1::ToProxy add;
      *add.mutable_listener_add()->mutable_id() = id;
      proxy.connection->send_borrowed(add, {listener.fd});
    }
    wanted.insert(std::move(key));
  }
  for (const ListenerKey& key : proxy.listeners) {
    if (wanted.contains(key)) continue;
    v1::ToProxy remove;
    v1::ListenerId& id = *remove.mutable_listener_remove()->mutable_id();
    id.set_workload_uid(std::get<0>(key));
    id.set_role(std::get<1>(key));
    id.set_ipv6(std::get<2>(key));
    id.set_epoch(std::get<3>(key));
    proxy.connection->send(remove);
  }
  proxy.listeners = std::move(wanted);
}

void ProxyChannel::send(ConnectionId connection, const v1::ToProxy& message, std::vector<UniqueFd> fds) {
  if (const auto found = proxies_.find(connection); found != proxies_.end()) {
    found->second->connection->send_owned(message, std::move(fds));
  }
}

// ---------------------------------------------------------------- questions

void ProxyChannel::ask(const QuestionFor& question, std::function<void(Answers)> done, const std::string& except) {
  const uint64_t request = next_request_++;
  Question& asked = questions_[request];
  asked.done = std::move(done);
  for (auto& [id, proxy] : proxies_) {
    if (!proxy->session.greeted() || proxy->hello.instance() == except) continue;
    asked.waiting.emplace(id, proxy->hello.instance());
    proxy->connection->send(question(proxy->hello.instance(), request));
  }
  if (asked.waiting.empty()) return finish_question(request);
  asked.timer = loop_.after(limits::kQueryDeadline, [this, request] { finish_question(request); });
}

void ProxyChannel::on_reply(Proxy& proxy, uint64_t request, bool last, v1::ToAgent message) {
  const auto found = questions_.find(request);
  if (found == questions_.end() || !found->second.waiting.contains(proxy.id)) return;  // too late
  Question& question = found->second;
  question.answers.replies.emplace_back(proxy.hello.instance(), std::move(message));
  if (question.answers.replies.size() >= limits::kMaxReplyParts) last = true;
  if (last) question.waiting.erase(proxy.id);
  if (question.waiting.empty()) finish_question(request);
}

void ProxyChannel::finish_question(uint64_t request) {
  const auto found = questions_.find(request);
  if (found == questions_.end()) return;
  Question question = std::move(found->second);
  questions_.erase(found);
  loop_.cancel(question.timer);
  for (auto& [id, instance] : question.waiting) question.answers.silent.push_back(instance);
  question.done(std::move(question.answers));
}

std::vector<ProxyInfo> ProxyChannel::proxies() const {
  std::vector<ProxyInfo> all;
  for (const auto& [id, proxy] : proxies_) {
    if (!proxy->session.greeted()) continue;
    all.push_back({.instance = proxy->hello.instance(),
                   .version = proxy->hello.version(),
                   .backend = proxy->hello.backend(),
                   .workers = proxy->hello.workers(),
                   .pid = proxy->pid,
                   .armed = lease_.armed() == id,
                   .acknowledged_generation = proxy->acknowledged_generation});
  }
  return all;
}

}  // namespace leat::agent
