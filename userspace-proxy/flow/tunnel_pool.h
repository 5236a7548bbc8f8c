// Open tunnels of this worker, by source pod and destination. A flow gets a stream of the first tunnel that has room
// and is not saturated, so that streams share records and sends; a new tunnel is dialled when there is none, one at a
// time a destination, and tunnels come back to use as their streams end. An idle tunnel is closed after a while.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "userspace-proxy/flow/tunnel.h"
#include "userspace-proxy/flow/wait_queue.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class Worker;

// What a client said before its upstream was there. It may leave with a CONNECT, a round trip before the answer: then
// it has reached the application or has not, and only a refusal tells.
struct EarlyBytes {
  ring::Chain bytes;
  bool out = false;  // they may have reached an application: they go nowhere else
};

struct TunnelTarget {
  WorkloadRef source;
  WorkloadRef destination;
  IpAddress address;  // of the destination; the tunnel goes to its port 15008
};

class TunnelPool {
 public:
  explicit TunnelPool(Worker& worker) : worker_(worker) {}

  // A stream on which the peer has connected to `request.authority` and got `early`, or why there is none before
  // `deadline`.
  ring::Task<Outcome<TunnelStream>> open(TunnelTarget target, hbone::ConnectRequest request, EarlyBytes& early,
                                         ring::Clock::time_point deadline);

  // Ends tunnels that were idle since `before`, and forgets what is gone. Call it every few seconds.
  void close_idle(ring::Clock::time_point before);
  // Every tunnel ends when its streams have; a new flow would dial another.
  void drain();
  // The same for tunnels from this pod: they live in its namespace.
  void pod_gone(const std::string& uid);

  [[nodiscard]] size_t tunnels() const;

 private:
  struct Key {
    std::string source_uid;
    std::string destination_uid;
    IpAddress address;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Entry {
    TunnelTarget target;
    std::vector<TunnelConnection*> tunnels;  // open ones; each lives in its dial()
    WaitQueue waiting;                       // for a stream
    uint32_t users = 0;                      // coroutines that hold a reference to this entry
    uint64_t failures = 0;
    Reason last_failure = Reason::kNone;
    bool dialing = false;
  };

  ring::Task<Outcome<TunnelStream>> open_once(const TunnelTarget& target, const hbone::ConnectRequest& request,
                                              EarlyBytes& early, ring::Clock::time_point deadline);
  ring::Task<Outcome<TunnelConnection*>> acquire(Entry& entry, ring::Clock::time_point deadline);
  // Connects until `deadline`, serves the tunnel to its end, and takes it out again.
  ring::Task<void> dial(Entry& entry, ring::Clock::time_point deadline);
  void changed(Entry& entry, TunnelConnection& tunnel);
  void dial_ended(Entry& entry, Reason reason);  // kNone: the tunnel is open
  static TunnelConnection* pick(const Entry& entry);
  // If a tunnel is wanting and none is on its way.
  void dial_more(Entry& entry);

  Worker& worker_;
  std::unordered_map<Key, Entry, KeyHash> entries_;  // erased only without users
};

}  // namespace leat::proxy
