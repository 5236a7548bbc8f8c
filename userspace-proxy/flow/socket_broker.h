// Sockets made by the agent inside pods' namespaces, kept in stock so that a dial does not wait for the agent. A pod's
// stock grows while its flows use it up and shrinks when they do not: a spare socket keeps 4 KB of kernel memory and
// the pod's namespace. One a worker.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "common/unique_fd.h"
#include "userspace-proxy/flow/agent_requests.h"
#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/wait_queue.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class SocketBroker {
 public:
  SocketBroker(ring::Loop& loop, const AgentRequests& agent) : loop_(loop), agent_(agent) {}

  // A socket of the pod's namespace and family; kNoBroker if none comes before `deadline`.
  ring::Task<Outcome<UniqueFd>> take(const Workload& pod, bool ipv6, ring::Clock::time_point deadline);

  // The agent's answer to one request: fewer sockets than were asked for, or none, mean that it could not make more.
  void arrived(const std::string& uid, bool ipv6, uint32_t requested, std::vector<UniqueFd> sockets);
  // Requests under way were lost with the connection to the agent: asks again for what is still wanted.
  void agent_returned();
  // The pod has left this node: its spare sockets go at once, for they keep its namespace alive.
  void pod_gone(const std::string& uid);
  // Shrinks what was not used since the last call; call it every few seconds.
  void trim();

  [[nodiscard]] size_t spare() const;

 private:
  struct Stock {
    std::vector<UniqueFd> spare;
    WaitQueue waiting;
    uint32_t waiters = 0;
    uint32_t requested = 0;  // asked for and not answered
    uint32_t target = 0;     // spare sockets to keep
    uint32_t taken = 0;      // since the last trim()
  };
  using Key = std::pair<std::string, bool>;
  struct KeyHash {
    size_t operator()(const Key& key) const { return std::hash<std::string>()(key.first) * 2 + (key.second ? 1 : 0); }
  };

  void refill(const Key& key, Stock& stock);

  ring::Loop& loop_;
  const AgentRequests& agent_;
  std::unordered_map<Key, Stock, KeyHash> stocks_;  // a stock with waiters is never erased
};

}  // namespace leat::proxy
