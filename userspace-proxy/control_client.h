// The proxy's end of the conversation with the agent, on the control thread: it keeps the lease, the listeners and the
// model, hands them to the workers, and carries the workers' requests. What it holds outlives the connection: without
// an agent the workers go on with the last model, and a new agent is told what this process has.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/event_loop.h"
#include "common/message_connection.h"
#include "userspace-proxy/certificates.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/mailbox.h"
#include "userspace-proxy/scrape/thread.h"
#include "userspace-proxy/worker_thread.h"

namespace leat::proxy {

class ControlClient {
 public:
  struct Options {
    std::string instance;  // random, of this process
    std::atomic<uint64_t>* closed_sequence;
    std::atomic<uint64_t>* tapped_sequence;
    scrape::Thread* counters;         // of the workers
    std::function<void()> reconnect;  // call connected() when there is a connection to the agent again
    std::function<void()> leave;      // replaced or told to end, and drained: the process may exit
    std::chrono::milliseconds successor_wait = limits::kSuccessorWait;  // 0: told to end, it disarms at once
  };

  ControlClient(EventLoop& loop, Options options);
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;
  ~ControlClient();

  // What worker `index` asks the agent through; callable on any thread.
  AgentRequests requests_of(size_t index);
  std::function<void(const ListenerKey&)> listener_died_handler();
  // The threads that were made with those; before the first connected().
  void set_workers(std::vector<WorkerThread*> workers, std::string backend) {
    options_.counters->set_workers(workers);
    workers_ = std::move(workers), backend_ = std::move(backend);
  }

  void connected(UniqueFd socket);
  // Told to end: serves on until another proxy does, the agent is gone, or kSuccessorWait is over; disarms, drains
  // until the deadline, then leave().
  void shut_down();

  // For scrapes; callable on any thread. `done` is called on this one, with the agent's counters as they are, or as
  // they were when it last answered.
  void report(std::function<void(std::shared_ptr<scrape::ControlReport>)> done);
  // Why this process does not serve pods; nothing: it does. Callable on any thread.
  [[nodiscard]] std::optional<std::string> unready() const;

 private:
  struct Listener {
    uint64_t epoch = 0;
    size_t worker = 0;
    UniqueFd fd;  // a second descriptor of what the worker has, to be shown to a new agent
  };
  struct SocketsAsked {
    size_t worker;
    uint32_t count;
  };
  struct SourceIdUse {
    std::set<size_t> workers;
    std::string uid;
    std::optional<uint32_t> id;
  };

  // The agent's messages.
  void on_message(ReceivedMessage message);
  void on_disconnect(const Error& why);
  void on(const v1::Lease& lease);
  void on(const v1::Revoke& revoke);
  void on(v1::Snapshot& snapshot);
  void on(const v1::Delta& delta);
  void on(const v1::ListenerAdd& add, std::vector<UniqueFd> fds);
  void on(const v1::ListenerRemove& remove);
  void on(const v1::Sockets& sockets, std::vector<UniqueFd> fds);
  void on(const v1::SourceId& answer);
  void on(const v1::FlowQuery& query);
  void on(const v1::StatsQuery& query);
  void on(const v1::TapQuery& query);
  void on(v1::AgentCounters& answer);

  // The workers' requests, on this thread.
  void request_sockets(size_t worker, const std::string& uid, bool ipv6, uint32_t count);
  void request_source_id(size_t worker, const IpAddress& address, const std::string& uid);
  void source_id_unused(size_t worker, const IpAddress& address);
  void ask_source_id(const IpAddress& address, const std::string& uid);
  void release_source_id(uint32_t id);
  void listener_died(const ListenerKey& key);

  void ask_agents_counters();
  void answer_reports();
  void report_own(std::vector<v1::Counter>& out) const;

  void say_hello();
  void install(MeshRef mesh, uint64_t generation, const std::vector<std::string>& problems);
  void disarm_and_leave();
  void confirm_revoked();
  void drain_then_leave();
  size_t worker_for(const std::string& uid, v1::ListenerRole role);
  // Runs `work` on every worker, then `then` here.
  void on_all_workers(const std::function<void(Worker&)>& work, std::function<void()> then);
  // The same for work that ends later, by calling what it is given.
  void on_all_workers_until(const std::function<void(Worker&, std::function<void()>)>& work,
                            std::function<void()> then);
  void send(const v1::ToAgent& message);

  EventLoop& loop_;
  Options options_;
  ring::Mailbox mailbox_;
  Certificates certificates_;
  std::vector<WorkerThread*> workers_;
  std::string backend_;  // "io_uring" or "epoll", for the agent to show
  std::unique_ptr<MessageConnection> connection_;
  MeshRef mesh_ = make_ref<Mesh>();
  uint64_t generation_ = 0;  // of mesh_; 0: none
  uint64_t lease_epoch_ = 0;
  bool ending_ = false;    // told to end
  bool leaving_ = false;   // takes nothing new
  bool disarmed_ = false;  // and no accept is under way any more
  std::map<ListenerKey, Listener> listeners_;
  std::map<std::string, size_t> pod_workers_;  // where a pod's outbound listeners are
  size_t next_pod_worker_ = 0;
  std::map<std::pair<std::string, bool>, std::deque<SocketsAsked>> sockets_asked_;
  std::map<IpAddress, SourceIdUse> source_ids_;

  enum class State : uint8_t { kNoModel, kNoLease, kReady, kLeaving };
  std::atomic<State> state_ = State::kNoModel;
  std::vector<std::function<void(std::shared_ptr<scrape::ControlReport>)>> reports_;  // wait for the agent's counters
  EventLoop::TimerId reports_timer_ = 0;
  uint64_t counters_request_ = 0;
  std::vector<v1::Counter> agents_counters_;  // as it said last
  EventLoop::Clock::time_point agents_counters_at_{};
};

}  // namespace leat::proxy
