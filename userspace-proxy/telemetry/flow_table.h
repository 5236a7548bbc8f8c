// userspace-proxy/telemetry: what the proxy did, for `leat flows` and the counters. One FlowTable a worker: the records
// of live flows, which lie in the flows' own coroutine frames, and copies of the last closed ones. Read on the worker's
// thread only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/ip.h"
#include "leat.pb.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/relay.h"
#include "userspace-proxy/telemetry/reason.h"

namespace leat::proxy {

// The proved identity of a tunnel's peer; shared by the flows in that tunnel.
struct PeerIdentity : RefCounted {
  explicit PeerIdentity(std::string id) : text(std::move(id)) {}
  std::string text;
};

enum class Security : uint8_t { kNone, kMtls, kSameNode, kPlaintext, kTls };
const char* word(Security security);  // "mTLS"
enum class SeenProtocol : uint8_t { kTcp, kHttp1, kHttp2 };
enum class Verdict : uint8_t { kOpen, kOk, kReset, kDenied, kFailed };

struct FlowFacts {
  uint64_t id = 0;
  int64_t opened_ms = 0;  // Unix time
  WorkloadRef source;     // null: not a pod that the mesh knows
  WorkloadRef destination;
  ServiceRef service;
  Ref<const PeerIdentity> peer;
  ring::RelayCounters bytes;  // a: the client's side, b: the server's
  SocketAddress client;
  SocketAddress requested;  // what the client asked for
  SocketAddress server;     // where the bytes go
  v1::FlowDirection direction = v1::FLOW_OUTBOUND;
  v1::FlowPath path = v1::PATH_PROXY;
  Security security = Security::kNone;
  SeenProtocol protocol = SeenProtocol::kTcp;
  Verdict verdict = Verdict::kOpen;
  Reason reason = Reason::kNone;
  uint16_t attempts = 0;  // of the last request, where there are several
  uint32_t requests = 0;  // HTTP
  uint32_t requests_open = 0;

  // Says as `other` does to whom its bytes go, and how.
  void take_way_from(const FlowFacts& other);
};

class FlowTable;

// A live flow. Visible from construction to close(), which every path of a flow reaches.
class FlowRecord : public FlowFacts {
 public:
  FlowRecord(FlowTable& table, v1::FlowDirection flow_direction);
  // A part of another flow, such as one request of a connection: no table knows it.
  explicit FlowRecord(FlowFacts facts) : FlowFacts(std::move(facts)) {}
  FlowRecord(const FlowRecord&) = delete;
  FlowRecord& operator=(const FlowRecord&) = delete;
  ~FlowRecord();

  void close(Verdict end, Reason why);
  void close(const ring::RelayResult& result);
  void fail(Reason why);  // before a byte was carried: denied or failed, as the reason says

 private:
  friend class FlowTable;
  FlowTable* table_ = nullptr;
  FlowRecord* next_ = nullptr;
  FlowRecord** back_ = nullptr;
};

class FlowTable {
 public:
  // `closed_sequence` numbers closed flows over all workers.
  FlowTable(int worker, std::atomic<uint64_t>& closed_sequence) : worker_(worker), closed_sequence_(closed_sequence) {}

  // Called with each flow when it has closed.
  void on_closed(std::function<void(const FlowFacts&)> done) { on_closed_ = std::move(done); }

  // Appends what the query asks for: open flows, and closed ones with since ≤ sequence < until.
  void report(const v1::FlowQuery& query, uint64_t until, std::vector<v1::Flow>* out) const;

  // Calls `visit` with the facts of each live flow.
  template <typename Visit>
  void for_each_open(Visit visit) const {
    for (const FlowRecord* record = live_; record; record = record->next_) visit(*record);
  }

  [[nodiscard]] size_t open_flows() const { return open_; }
  // Closed flows by reason since the start.
  [[nodiscard]] uint64_t closed(v1::FlowDirection direction, Reason reason) const {
    return closed_counts_[direction][static_cast<size_t>(reason)];
  }
  [[nodiscard]] uint64_t opened(v1::FlowDirection direction) const { return opened_counts_[direction]; }
  // Client-to-server and server-to-client bytes of closed flows.
  [[nodiscard]] const ring::RelayCounters& closed_bytes(v1::FlowDirection direction) const {
    return closed_bytes_[direction];
  }

 private:
  friend class FlowRecord;
  struct Closed {
    FlowFacts facts;
    int64_t closed_ms;
    uint64_t sequence;
  };
  void opened(FlowRecord& record);
  void closed(FlowRecord& record);
  [[nodiscard]] v1::Flow describe(const FlowFacts& facts) const;

  int worker_;
  std::atomic<uint64_t>& closed_sequence_;
  std::function<void(const FlowFacts&)> on_closed_;
  FlowRecord* live_ = nullptr;
  size_t open_ = 0;
  uint64_t next_id_ = 1;
  std::vector<Closed> closed_;  // a ring of limits::kClosedFlows
  size_t oldest_ = 0;
  std::array<std::array<uint64_t, static_cast<size_t>(Reason::kCount)>, 2> closed_counts_{};
  std::array<uint64_t, 2> opened_counts_{};
  std::array<ring::RelayCounters, 2> closed_bytes_{};
};

}  // namespace leat::proxy
