// Open HTTP/2 connections to backends, each shared by the requests of one pod to one backend. A request gets room on
// the first that has any; where none has, one is dialled, one at a time a backend, and others wait for it. An idle one
// is closed after a while: with GOAWAY, and since it is we who open streams, no request is lost by that. One pool a
// worker.
#pragma once

#include <unordered_map>
#include <vector>

#include "userspace-proxy/flow/any_stream.h"
#include "userspace-proxy/flow/read_ahead.h"
#include "userspace-proxy/flow/upstream_key.h"
#include "userspace-proxy/flow/wait_queue.h"

namespace leat::proxy {

class Http2Pool {
 public:
  explicit Http2Pool(Worker& worker) : worker_(worker) {}

  struct Room {
    HttpStream stream;
    bool reused;  // the connection carried a request before, or stood idle: it may be ending
  };
  // Room for a request of the flow of `record` to `backend`; says in `record` how its connection was made.
  ring::Task<Outcome<Room>> open(FlowRecord& record, const Backend& backend, const UpstreamKey& key,
                                 ring::Clock::time_point deadline);

  // Ends connections that were idle since `before`, and forgets what is gone. Call it every few seconds.
  void close_idle(ring::Clock::time_point before);
  // Every connection ends when its requests have.
  void drain();
  // The same for those from this pod: they live in its namespace.
  void pod_gone(const std::string& uid);

  [[nodiscard]] size_t connections() const;
  [[nodiscard]] uint64_t dialled() const { return dialled_; }

 private:
  struct Shared {
    Http2Connection* connection;
    ReadAhead<AnyStream>* transport;
    FlowFacts made;  // how
    bool used = false;
  };
  struct Entry {
    WorkloadRef source, destination;   // those of the key, so that nothing else gets their addresses
    std::vector<Shared*> connections;  // open ones; each lives in its dial()
    WaitQueue waiting;                 // for room
    uint32_t users = 0;                // coroutines that hold a reference to this entry
    uint64_t failures = 0;
    Reason last_failure = Reason::kNone;
    bool dialing = false;
  };

  ring::Task<Outcome<Shared*>> acquire(Entry& entry, const FlowFacts& facts, const Backend& backend,
                                       ring::Clock::time_point deadline);
  static Shared* pick(const Entry& entry);
  // Dials, if room is wanting and none is on its way.
  void dial_more(Entry& entry, const FlowFacts& facts, const Backend& backend);
  ring::Task<void> dial(Entry& entry, FlowFacts facts, Backend backend, ring::Clock::time_point deadline);
  ring::Task<Outcome<Upstream>> dial_with(MeshRef mesh, FlowRecord& record, const Backend& backend,
                                          ring::Clock::time_point deadline);
  static void changed(Entry& entry, Shared& shared);
  static void dial_ended(Entry& entry, Reason reason);  // kNone: the connection is open

  Worker& worker_;
  std::unordered_map<UpstreamKey, Entry, UpstreamKeyHash> entries_;  // erased only without users
  uint64_t dialled_ = 0;
};

}  // namespace leat::proxy
