#include "tests/unit/userspace-proxy/flow/test_node.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>

#include "userspace-proxy/mesh/alias.h"

namespace leat::proxy::test {
namespace {

SocketAddress address(const std::string& ip, uint16_t port) { return {*IpAddress::parse(ip), port}; }

UniqueFd tcp_socket() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  return fd;
}

void bind_to(const UniqueFd& fd, const SocketAddress& to) {
  sockaddr_storage storage{};
  const socklen_t size = to.to_sockaddr(storage, AF_INET);
  REQUIRE_MESSAGE(bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0, to.text());
}

}  // namespace

// ---- LoopThread

LoopThread::LoopThread() {
  loop_ = std::move(*EventLoop::make());
  loop_->watch(mailbox_.wake_fd(), EPOLLIN | EPOLLET, [this](uint32_t) { mailbox_.run_all(); });
  thread_ = std::thread([this] { loop_->run(); });
}

LoopThread::~LoopThread() {
  mailbox_.post([this] { loop_->stop(); });
  thread_.join();
}

void LoopThread::run(const std::function<void()>& work) {
  std::promise<void> done;
  mailbox_.post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

// ---- FakeAgent

void FakeAgent::connected(EventLoop& loop, UniqueFd socket) {
  connection_ = std::make_unique<MessageConnection>(
      loop, MessageSocket(std::move(socket)),
      MessageConnection::Handlers{.message =
                                      [this](ReceivedMessage received) {
                                        v1::ToAgent message;
                                        CHECK(message.ParseFromString(received.bytes));
                                        on(message, std::move(received.fds));
                                      },
                                  .closed = [this](const Error&) { connection_.reset(); }});
}

void FakeAgent::send(const v1::ToProxy& message, std::vector<UniqueFd> fds) {
  if (connection_) connection_->send_owned(message, std::move(fds));
}

void FakeAgent::on(const v1::ToAgent& message, std::vector<UniqueFd> fds) {
  v1::ToProxy answer;
  if (message.has_socket_request() && answers.sockets) {
    std::vector<UniqueFd> sockets;
    for (uint32_t i = 0; i < message.socket_request().count(); ++i) sockets.push_back(tcp_socket());
    sockets_made += sockets.size();
    answer.mutable_sockets()->set_workload_uid(message.socket_request().workload_uid());
    answer.mutable_sockets()->set_count(message.socket_request().count());
    return send(answer, std::move(sockets));
  }
  if (message.has_sign_request() && answers.certificates) {
    const SpiffeId identity = *SpiffeId::parse(message.sign_request().identity());
    ++signed_count[identity.text()];
    answer.mutable_signed_()->set_request(message.sign_request().request());
    answer.mutable_signed_()->add_chain_der(*ca_.sign(message.sign_request().csr_der(), identity, lifetime));
    return send(answer);
  }
  if (message.has_source_id_request() && answers.source_ids) {
    answer.mutable_source_id()->set_address(message.source_id_request().address());
    answer.mutable_source_id()->set_id(777);
    return send(answer);
  }
  for (UniqueFd& fd : fds) hello_fds.push_back(std::move(fd));
  heard.push_back(message);
  changed();
}

// ---- Node

Node::Node(ca::CertificateAuthority& ca, ring::BackendKind backend, size_t workers) : agent_(ca) {
  mesh.mutable_settings()->set_trust_domain("cluster.local");
  mesh.mutable_settings()->set_connect_timeout_ms(2000);
  mesh.mutable_settings()->set_drain_timeout_ms(3000);
  agent_.changed = [this] { heard_.notify_all(); };
  control_loop_.run([&] {
    control_ = std::make_unique<ControlClient>(control_loop_.loop(),
                                               ControlClient::Options{.instance = "test",
                                                                      .closed_sequence = &closed_sequence_,
                                                                      .tapped_sequence = &tapped_sequence_,
                                                                      .counters = counters_.get(),
                                                                      .reconnect = [] {},
                                                                      .leave = [this] { left_ = true; },
                                                                      .successor_wait = {}});
  });
  std::vector<WorkerThread*> threads;
  for (size_t i = 0; i < workers; ++i) {
    auto worker = WorkerThread::start({.backend = backend}, {.index = static_cast<int>(i),
                                                             .descriptors = 10'000,
                                                             .closed_sequence = &closed_sequence_,
                                                             .tapped_sequence = &tapped_sequence_,
                                                             .agent = control_->requests_of(i),
                                                             .listener_died = control_->listener_died_handler(),
                                                             .beat = [] {}});
    REQUIRE(worker);
    (*worker)->run();
    threads.push_back(worker->get());
    workers_.push_back(std::move(*worker));
  }
  control_loop_.run([&] { control_->set_workers(threads, "test"); });
}

Node::~Node() {
  mesh.mutable_settings()->set_drain_timeout_ms(1);
  shut_down();
  CHECK(wait_left());
  workers_.clear();
  control_loop_.run([&] { control_.reset(); });
  agent_loop_.run([&] { agent_.disconnect(); });
}

void Node::add_workload(const Pod& pod, bool local, bool captured) {
  v1::Workload* workload = mesh.add_workloads();
  workload->set_uid(pod.name);
  workload->set_namespace_("shop");
  workload->set_name(pod.name);
  workload->set_service_account(pod.service_account);
  workload->add_addresses(IpAddress::parse(pod.ip)->wire());
  workload->set_local(local);
  workload->set_captured(captured);
  workload->set_ready(true);
}

v1::Service* Node::add_service(const std::string& name, const std::string& vip, uint16_t port) {
  v1::Service* service = mesh.add_services();
  service->set_namespace_("shop");
  service->set_name(name);
  service->add_vips(IpAddress::parse(vip)->wire());
  service->add_ports()->set_port(port);
  return service;
}

void Node::add_endpoint(v1::Service* service, const Pod& pod, uint16_t target_port) {
  v1::Endpoint* endpoint = service->add_endpoints();
  endpoint->set_address(IpAddress::parse(pod.ip)->wire());
  endpoint->set_workload_uid(pod.name);
  endpoint->set_ready(true);
  endpoint->add_ports()->set_service_port(service->ports(0).port());
  endpoint->mutable_ports(0)->set_target_port(target_port);
}

void Node::add_alias(uint32_t id, const std::string& ip, const std::string& service, const std::string& uid) {
  v1::Alias* alias = mesh.add_aliases();
  alias->set_id(id);
  alias->set_address(IpAddress::parse(ip)->wire());
  if (!service.empty()) alias->set_service(service);
  if (!uid.empty()) alias->set_workload_uid(uid);
}

void Node::start() {
  reconnect();
  with_agent([&](FakeAgent& agent) {
    v1::ToProxy lease;
    lease.mutable_lease()->set_epoch(1);
    agent.send(lease);
  });
}

void Node::reconnect() {
  std::array<int, 2> pair{};
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) == 0);
  agent_loop_.run([&] { agent_.connected(agent_loop_.loop(), UniqueFd(pair[0])); });
  control_loop_.run([&] { control_->connected(UniqueFd(pair[1])); });
  CHECK(wait_agent([](FakeAgent& agent) { return std::ranges::any_of(agent.heard, &v1::ToAgent::has_hello); }));
  with_agent([&](FakeAgent& agent) {
    v1::ToProxy roots;
    // The CA's own root, as the agent relays it.
    roots.mutable_roots();
    for (const std::string& der : agent.roots()) roots.mutable_roots()->add_root_der(der);
    agent.send(roots);
  });
  send_mesh();
}

void Node::send_mesh() {
  const uint64_t generation = next_generation_++;
  with_agent([&](FakeAgent& agent) {
    v1::ToProxy message;
    message.mutable_snapshot()->set_generation(generation);
    *message.mutable_snapshot()->mutable_mesh() = mesh;
    agent.send(message);
  });
  CHECK(wait_agent([&](FakeAgent& agent) {
    return std::ranges::any_of(agent.heard,
                               [&](const v1::ToAgent& message) { return message.ack().generation() == generation; });
  }));
}

void Node::listen_outbound(const Pod& pod, uint32_t alias, uint16_t port) {
  add_listener(pod, v1::LISTENER_OUTBOUND, listen_at(destination_alias(alias, false).text(), port));
}

void Node::listen_hbone(const Pod& pod) { add_listener(pod, v1::LISTENER_HBONE, listen_at(pod.ip, 15008)); }

void Node::listen_plaintext(const Pod& pod, uint16_t port) {
  add_listener(pod, v1::LISTENER_PLAINTEXT, listen_at(pod.ip, port));
}

void Node::add_listener(const Pod& pod, v1::ListenerRole role, UniqueFd fd) {
  with_agent([&](FakeAgent& agent) {
    v1::ToProxy message;
    v1::ListenerId* id = message.mutable_listener_add()->mutable_id();
    id->set_workload_uid(pod.name);
    id->set_role(role);
    id->set_epoch(next_epoch_++);
    std::vector<UniqueFd> fds;
    fds.push_back(std::move(fd));
    agent.send(message, std::move(fds));
  });
}

void Node::on_workers(const std::function<void(Worker&)>& work) {
  for (const auto& thread : workers_) {
    std::promise<void> done;
    thread->post([&](Worker& worker) {
      work(worker);
      done.set_value();
    });
    done.get_future().wait();
  }
}

void Node::with_agent(const std::function<void(FakeAgent&)>& work) {
  agent_loop_.run([&] { work(agent_); });
}

bool Node::wait_agent(const std::function<bool(FakeAgent&)>& done) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  for (;;) {
    bool holds = false;
    with_agent([&](FakeAgent& agent) { holds = done(agent); });
    if (holds) return true;
    std::unique_lock lock(mutex_);
    if (std::chrono::steady_clock::now() > deadline) return false;
    heard_.wait_for(lock, 20ms);
  }
}

std::vector<v1::Flow> Node::flows(bool open, bool closed) {
  const uint64_t request = next_request_++;
  with_agent([&](FakeAgent& agent) {
    v1::ToProxy message;
    message.mutable_flow_query()->set_request(request);
    message.mutable_flow_query()->set_open(open);
    message.mutable_flow_query()->set_closed(closed);
    agent.send(message);
  });
  std::vector<v1::Flow> flows;
  CHECK(wait_agent([&](FakeAgent& agent) {
    flows.clear();
    for (const v1::ToAgent& message : agent.heard) {
      if (message.flow_reply().request() != request) continue;
      flows.insert(flows.end(), message.flow_reply().flows().begin(), message.flow_reply().flows().end());
      if (message.flow_reply().last()) return true;
    }
    return false;
  }));
  return flows;
}

double Node::counter(const std::string& name) {
  const uint64_t request = next_request_++;
  with_agent([&](FakeAgent& agent) {
    v1::ToProxy message;
    message.mutable_stats_query()->set_request(request);
    agent.send(message);
  });
  double sum = 0;
  CHECK(wait_agent([&](FakeAgent& agent) {
    for (const v1::ToAgent& message : agent.heard) {
      if (message.stats_reply().request() != request) continue;
      for (const v1::Counter& counter : message.stats_reply().counters())
        sum += counter.name() == name ? counter.value() : 0;
      return true;
    }
    return false;
  }));
  return sum;
}

void Node::shut_down() {
  control_loop_.run([&] { control_->shut_down(); });
}

bool Node::wait_left() {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (!left_ && std::chrono::steady_clock::now() < deadline) {
    std::unique_lock lock(mutex_);
    heard_.wait_for(lock, 10ms);
  }
  return left_;
}

// ---- applications

UniqueFd listen_at(const std::string& ip, uint16_t port) {
  UniqueFd fd = tcp_socket();
  bind_to(fd, address(ip, port));
  REQUIRE(listen(fd.get(), 1024) == 0);
  return fd;
}

UniqueFd connect_to(const std::string& ip, uint16_t port, const std::string& from) {
  UniqueFd fd = tcp_socket();
  const timeval patience{10, 0};
  for (const int direction : {SO_RCVTIMEO, SO_SNDTIMEO})
    setsockopt(fd.get(), SOL_SOCKET, direction, &patience, sizeof patience);
  if (!from.empty()) bind_to(fd, address(from, 0));
  sockaddr_storage storage{};
  const socklen_t size = address(ip, port).to_sockaddr(storage, AF_INET);
  REQUIRE_MESSAGE(connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) == 0,
                  std::string(std::strerror(errno)));
  return fd;
}

Server::Server(const std::string& ip, uint16_t port, std::function<void(UniqueFd, SocketAddress)> serve)
    : listener_(listen_at(ip, port)), serve_(std::move(serve)) {
  thread_ = std::thread([this] {
    for (;;) {
      sockaddr_storage storage{};
      socklen_t size = sizeof storage;
      UniqueFd connection(accept4(listener_.get(), reinterpret_cast<sockaddr*>(&storage), &size, SOCK_CLOEXEC));
      if (!connection) return;
      ++accepted_;
      connections_.emplace_back([this, peer = *SocketAddress::from_sockaddr(storage), fd = connection.release()] {
        serve_(UniqueFd(fd), peer);
      });
    }
  });
}

Server::~Server() {
  shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
  for (std::thread& connection : connections_) connection.join();
}

void echo(UniqueFd connection, SocketAddress) {
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t size = recv(connection.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) return;
    send_all(connection, {buffer.data(), static_cast<size_t>(size)});
  }
}

void send_all(const UniqueFd& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t size = send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (size <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(size));
  }
}

std::string read_all(const UniqueFd& socket) {
  std::string all;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t size = recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size == 0) return all;
    if (size < 0) return all + (errno == ECONNRESET ? "RESET" : std::strerror(errno));
    all.append(buffer.data(), static_cast<size_t>(size));
  }
}

void reset(UniqueFd socket) {
  const linger now{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

std::string pattern(size_t bytes) {
  std::string text(bytes, '\0');
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

std::string read_some(const UniqueFd& socket, size_t bytes) {
  std::string all(bytes, '\0');
  const ssize_t size = recv(socket.get(), all.data(), bytes, MSG_WAITALL);
  all.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return all;
}

}  // namespace leat::proxy::test
