// A node without a kernel's help, for tests: real workers and a real ControlClient in this process, and an agent that
// is only a conversation. Pods are loopback addresses: 127.1.x.y is local in every namespace, and so is every alias, so
// nothing needs to be set up and no privilege is needed.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/ca/ca.h"
#include "common/event_loop.h"
#include "common/message_connection.h"
#include "userspace-proxy/control_client.h"
#include "userspace-proxy/worker_thread.h"

namespace leat::proxy::test {

using namespace std::chrono_literals;

// An EventLoop on a thread of its own.
class LoopThread {
 public:
  LoopThread();
  ~LoopThread();
  void run(const std::function<void()>& work);  // on the thread; returns when it is done
  EventLoop& loop() { return *loop_; }

 private:
  std::unique_ptr<EventLoop> loop_;
  ring::Mailbox mailbox_;
  std::thread thread_;
};

// What the agent would do: it answers what it is asked, and remembers what it is told.
class FakeAgent {
 public:
  struct Answers {
    bool sockets = true;  // false: requests for sockets are not answered
    bool certificates = true;
    bool source_ids = true;
  };

  explicit FakeAgent(ca::CertificateAuthority& ca) : ca_(ca) {}

  // Loop thread only.
  void connected(EventLoop& loop, UniqueFd socket);
  void send(const v1::ToProxy& message, std::vector<UniqueFd> fds = {});
  void disconnect() { connection_.reset(); }
  [[nodiscard]] std::vector<std::string> roots() const { return ca_.roots(); }

  Answers answers;
  std::chrono::seconds lifetime = std::chrono::hours(1);  // of certificates
  std::vector<v1::ToAgent> heard;                         // requests that were answered are not in it
  std::vector<UniqueFd> hello_fds;
  std::map<std::string, int> signed_count;  // by identity
  uint64_t sockets_made = 0;
  std::function<void()> changed;  // heard something

 private:
  void on(const v1::ToAgent& message, std::vector<UniqueFd> fds);
  ca::CertificateAuthority& ca_;
  std::unique_ptr<MessageConnection> connection_;
};

struct Pod {
  std::string name;  // and uid
  std::string ip;
  std::string service_account = "default";
};

class Node {
 public:
  Node(ca::CertificateAuthority& ca, ring::BackendKind backend, size_t workers);
  ~Node();

  // ---- the model
  v1::Mesh mesh;
  void add_workload(const Pod& pod, bool local, bool captured = true);
  v1::Service* add_service(const std::string& name, const std::string& vip, uint16_t port);
  // Of all its ports.
  static v1::TrafficPolicy* set_policy(v1::Service* service, v1::LoadBalancing algorithm) {
    service->add_policies()->set_load_balancing(algorithm);
    for (v1::ServicePort& port : *service->mutable_ports()) port.set_policy(1);
    return service->mutable_policies(0);
  }
  static void add_endpoint(v1::Service* service, const Pod& pod, uint16_t target_port);
  void add_alias(uint32_t id, const std::string& ip, const std::string& service, const std::string& uid);

  // Roots, model and lease, each as the agent sends it; returns when the model is acknowledged.
  void start();
  void send_mesh();
  // Listeners of `pod`. The kernel would lead all ports of all aliases to one outbound listener; here it listens at one
  // alias and port.
  void listen_outbound(const Pod& pod, uint32_t alias, uint16_t port);
  void listen_hbone(const Pod& pod);
  void listen_plaintext(const Pod& pod, uint16_t port);

  void with_agent(const std::function<void(FakeAgent&)>& work);
  void on_workers(const std::function<void(Worker&)>& work);  // on the thread of each; returns when all have done it
  // Waits until `done` holds for the agent; false after 10 s.
  bool wait_agent(const std::function<bool(FakeAgent&)>& done);
  // A question to the proxy, and its answer.
  std::vector<v1::Flow> flows(bool open, bool closed);
  double counter(const std::string& name);
  void reconnect();  // as a restarted agent
  void shut_down();
  bool wait_left();

 private:
  void add_listener(const Pod& pod, v1::ListenerRole role, UniqueFd fd);
  LoopThread agent_loop_;
  LoopThread control_loop_;
  std::mutex mutex_;
  std::condition_variable heard_;
  FakeAgent agent_;
  std::atomic<uint64_t> closed_sequence_{1};
  std::atomic<uint64_t> tapped_sequence_{1};
  std::atomic<bool> left_ = false;
  std::unique_ptr<scrape::Thread> counters_ = *scrape::Thread::start();
  std::unique_ptr<ControlClient> control_;
  std::vector<std::unique_ptr<WorkerThread>> workers_;
  uint64_t next_generation_ = 1;
  uint64_t next_request_ = 1;
  uint64_t next_epoch_ = 1;
};

// ---- applications: blocking sockets

UniqueFd listen_at(const std::string& ip, uint16_t port);
// Connects from `from` (empty: any) to an alias or address.
UniqueFd connect_to(const std::string& ip, uint16_t port, const std::string& from = {});

// Accepts for ever on threads of its own and hands each connection to `serve`.
class Server {
 public:
  Server(const std::string& ip, uint16_t port, std::function<void(UniqueFd, SocketAddress peer)> serve);
  ~Server();
  [[nodiscard]] int accepted() const { return accepted_; }

 private:
  UniqueFd listener_;
  std::function<void(UniqueFd, SocketAddress)> serve_;
  std::atomic<int> accepted_ = 0;
  std::vector<std::thread> connections_;
  std::thread thread_;
};

void echo(UniqueFd connection, SocketAddress);
void send_all(const UniqueFd& socket, std::string_view bytes);
// Reads until the end; "RESET" is appended where it was a reset.
std::string read_all(const UniqueFd& socket);
std::string read_some(const UniqueFd& socket, size_t bytes);
void reset(UniqueFd socket);
// Bytes that repeat nowhere.
std::string pattern(size_t bytes);

}  // namespace leat::proxy::test
