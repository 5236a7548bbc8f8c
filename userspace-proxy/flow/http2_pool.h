// Open HTTP/2 connections to backends, each shared by the requests of one pod to one backend under one policy. A
// request gets room on the first that has any; where none has, one is dialled, one at a time a backend, and others wait
// for it. A new one carries requests once its server has said that it speaks HTTP/2, so a server that does not is found
// out before anything was asked of it. An idle one is closed after a while: with GOAWAY, and since it is we who open
// streams, no request is lost by that. One pool a worker.
#pragma once

#include <unordered_map>
#include <vector>

#include "userspace-proxy/balance/admission.h"
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
  // Room for a request of the flow of `record` to `backend` of `port`; says in `record` how its connection was made.
  // kNotHttp2: the backend speaks HTTP/1.1, or did so lately.
  ring::Task<Outcome<Room>> open(FlowRecord& record, const Service::Port& port, const Backend& backend,
                                 const UpstreamKey& key, ring::Clock::time_point deadline);

  // Ends connections that were idle for as long as they may be, and forgets what is gone. Call it about once a second.
  void close_idle();
  // Ends one idle connection that has a place among those of `pool`. False: there is none.
  bool end_idle(const LivePool& pool);
  // Every connection ends when its requests have.
  void drain();
  // The same for those from this pod: they live in its namespace.
  void pod_gone(const std::string& uid);

  [[nodiscard]] size_t connections() const;
  [[nodiscard]] uint64_t dialled() const { return dialled_; }

 private:
  struct Key {
    UpstreamKey way;
    const Policy* policy;  // null: none. An edited one is another, and connections under the former age out
    const LivePool* live;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return UpstreamKeyHash()(key.way) ^ std::hash<const void*>()(key.policy);
    }
  };
  struct Shared {
    Http2Connection* connection;
    ReadAhead<AnyStream>* transport;
    FlowFacts made;          // how
    Place place;             // among the connections that the policy allows
    uint32_t requests_left;  // 0: as many as there are
    bool used = false;
    bool spent = false;  // it carried as many requests as the policy allows
  };
  struct Entry {
    WorkloadRef source, destination;  // those of the key, so that nothing else gets their addresses
    Ref<const Policy> policy;
    Ref<const LivePool> live;
    std::vector<Shared*> connections;  // open ones; each lives in its dial()
    WaitQueue waiting;                 // for room
    uint32_t users = 0;                // coroutines that hold a reference to this entry
    uint64_t failures = 0;
    Reason last_failure = Reason::kNone;
    ring::Clock::time_point http1_until{};  // the backend speaks HTTP/1.1, as was seen
    bool dialing = false;
  };
  enum class More : uint8_t { kUnderWay, kNoPlace, kEnough };

  Entry& entry_of(const FlowRecord& record, const Service::Port& port, const Backend& backend, const UpstreamKey& key);
  ring::Task<Outcome<Shared*>> acquire(Entry& entry, const Service::Port& port, const FlowFacts& facts,
                                       const Backend& backend, ring::Clock::time_point deadline);
  static Shared* pick(const Entry& entry);
  // Dials, if room is wanting and none is on its way.
  More dial_more(Entry& entry, const Service::Port& port, const FlowFacts& facts, const Backend& backend);
  ring::Task<bool> wait_for_place(Entry& entry, ring::Clock::time_point deadline);
  ring::Task<void> dial(Entry& entry, Place place, FlowFacts facts, Backend backend, ring::Clock::time_point deadline);
  ring::Task<void> run(Entry& entry, Place place, const FlowRecord& record, Upstream upstream,
                       ring::Clock::time_point deadline);
  ring::Task<Outcome<Upstream>> dial_with(MeshRef mesh, FlowRecord& record, const Backend& backend,
                                          ring::Clock::time_point deadline);
  void settled(Entry& entry, Shared& shared, bool late);
  static void changed(Entry& entry, Shared& shared);
  static void dial_ended(Entry& entry, Reason reason);  // kNone: the connection is open

  Worker& worker_;
  std::unordered_map<Key, Entry, KeyHash> entries_;  // erased only without users
  WaitQueue for_place_;                              // among the connections that a policy allows
  uint64_t dialled_ = 0;
};

}  // namespace leat::proxy
