// Connections to backends for HTTP requests, one request after the other. An idle one is watched: what ends, or speaks
// without being asked, is never used again. One pool a worker.
#pragma once

#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "userspace-proxy/balance/admission.h"
#include "userspace-proxy/flow/any_stream.h"
#include "userspace-proxy/flow/http2_pool.h"
#include "userspace-proxy/flow/read_ahead.h"
#include "userspace-proxy/flow/upstream_key.h"
#include "userspace-proxy/flow/wait_queue.h"
#include "userspace-proxy/limits.h"

namespace leat::proxy {

enum class HttpVersion : uint8_t {
  k1,
  k2,
  k2IfSpoken,  // else HTTP/1.1
};

class UpstreamConnection {
 public:
  // Just dialled for the flow of `record`.
  UpstreamConnection(Upstream upstream, const UpstreamKey& key, const FlowRecord& record);
  // A request's room on a shared one.
  UpstreamConnection(Http2Pool::Room room, const UpstreamKey& key, const FlowRecord& record);

  ReadAhead<AnyStream> stream;

  [[nodiscard]] bool reused() const { return reused_; }  // carried a request before
  // Has `record` say how this connection was made.
  void show_in(FlowRecord& record) const;

 private:
  friend class UpstreamPool;
  // From now on it counts as one of this port, whose policy limits it.
  void limit(Place place, const Service::Port& port);

  UpstreamKey key_;
  WorkloadRef source_, destination_;  // those of the key, so that nothing else gets their addresses
  Ref<const PeerIdentity> peer_;
  v1::FlowPath path_;
  Security security_;
  Ref<const LivePool> counts_for_;  // null: for no port with a policy
  Place limited_;                   // among the connections that the policy allows
  uint32_t requests_left_ = 0;      // 0: as many as there are
  ring::Clock::duration keep_idle_ = limits::kUpstreamIdle;
  bool reused_ = false;
  ring::Clock::time_point idle_since_{};
  // Its node in the pool's list; here while it is not idle.
  std::list<UpstreamConnection*> out_{this};
  std::list<UpstreamConnection*>::iterator place_ = out_.begin();
};
using UpstreamPtr = std::unique_ptr<UpstreamConnection>;

class UpstreamPool {
 public:
  explicit UpstreamPool(Worker& worker) : worker_(worker) {}

  enum class Reuse : uint8_t {
    kAny,     // for a request that can be sent twice: the server may just be closing the connection
    kRecent,  // used within limits::kUpstreamFresh
    kNone,
  };
  // A connection to `backend` of `port` for the flow of `record`: an idle one, or a new one, for which it may have to
  // wait where the policy limits their number; with HTTP/2, room on a shared one. kNotHttp2: the backend does not
  // speak that.
  ring::Task<Outcome<UpstreamPtr>> connect(FlowRecord& record, const Service::Port& port, const Backend& backend,
                                           HttpVersion version, Reuse reuse, ring::Clock::time_point deadline);
  // Its last response was read to the end and it may carry another request.
  void put(UpstreamPtr connection);
  // Ends a connection that may not: as it is if `at_once`, else in peace.
  void end(UpstreamPtr connection, bool at_once);

  // Ends what has been idle long enough. Call it about once a second.
  void close_idle();
  void close_all_idle();
  // Ends one idle connection that has a place among those of `pool`, if there is any.
  void end_idle(const LivePool& pool);
  // Those of this pod: they live in its namespace.
  void pod_gone(const std::string& uid);

  [[nodiscard]] size_t idle() const { return by_age_.size(); }
  [[nodiscard]] size_t ending() const { return ending_; }
  [[nodiscard]] uint64_t reused() const { return reused_; }

 private:
  UpstreamPtr take(const UpstreamKey& key, Reuse reuse);
  UpstreamPtr take(const UpstreamKey& key, const Service::Port& port, Reuse reuse);
  [[nodiscard]] UpstreamConnection& least_wanted(const Workload& pod) const;
  UpstreamPtr remove(UpstreamConnection& connection);
  template <typename Choose>
  void end_chosen(Choose choose);
  ring::Task<Outcome<UpstreamPtr>> share(FlowRecord& record, const Service::Port& port, const Backend& backend,
                                         const UpstreamKey& key, ring::Clock::time_point deadline);
  ring::Task<bool> room(const Service::Port& port, ring::Clock::time_point deadline);
  ring::Task<void> retire(UpstreamPtr connection, bool at_once);

  Worker& worker_;
  std::unordered_map<UpstreamKey, std::vector<UpstreamPtr>, UpstreamKeyHash>
      idle_;                               // of a key: the last used at the back
  std::list<UpstreamConnection*> by_age_;  // of all: the longest idle first
  WaitQueue waiting_;                      // for room for one more
  size_t ending_ = 0;
  uint64_t reused_ = 0;
};

}  // namespace leat::proxy
