// Sends spans to the collector, as OTLP over HTTP. This process has no sockets but those that the agent makes in pods'
// namespaces, and so a pod's spans go as the pod's own requests would: from its network, with its identity, through the
// mesh where the collector is in it, and visible in `leat flows`. One a worker.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "leat.pb.h"
#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/upstream_pool.h"
#include "userspace-proxy/ring/task.h"
#include "userspace-proxy/ring/timer.h"
#include "userspace-proxy/telemetry/span_queue.h"

namespace leat::proxy {

class SpanExporter {
 public:
  explicit SpanExporter(Worker& worker);

  void configure(const v1::MeshSettings& settings);
  [[nodiscard]] bool has_collector() const { return collector_.has_value(); }
  // Of a request of this pod; counted as dropped where there is no room.
  void add(const Workload& pod, otlp::Span span);
  // From here on spans are sent at once, and what fails is not tried again.
  void drain();

  [[nodiscard]] bool quiet() const { return queue_.empty() && under_way_ == 0; }
  struct Counters {
    uint64_t sent = 0;
    uint64_t queue_full = 0;
    uint64_t refused = 0;      // by the collector
    uint64_t unreachable = 0;  // no answer after several attempts
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] size_t waiting() const { return queue_.size() + under_way_; }

 private:
  struct Collector {
    std::string authority;
    std::string path;
    std::string service;                   // namespace/name; empty: `address`
    std::optional<SocketAddress> address;  // of the port alone where it is a Service
    uint16_t port = 0;
    std::string head;  // of each request, but for its length
    bool gzip = false;
  };
  enum class Sent : uint8_t { kTaken, kRefused, kLater };

  static std::optional<Collector> parse(std::string_view url);
  static void complete(Collector& collector, const v1::Tracing& settings);
  void send_all();
  ring::Task<void> send_until_taken(SpanQueue::Batch batch);
  void try_again_now();
  ring::Task<Sent> send(const SpanQueue::Batch& batch);
  ring::Task<Outcome<UpstreamPtr>> connect(FlowRecord& record, ring::Clock::time_point deadline);
  ring::Task<std::string> message_of(const SpanQueue::Batch& batch);
  ring::Task<Sent> exchange(FlowRecord& record, UpstreamPtr& upstream, const std::string& message);

  Worker& worker_;
  SpanQueue queue_;
  std::string settings_;                // as the model has them
  std::optional<Collector> collector_;  // of settings_
  uint64_t changes_ = 0;                // of it
  ring::Timer timer_;
  std::set<ring::Timer*> pauses_;  // of batches that are to be tried again
  size_t under_way_ = 0;           // spans that left the queue and are not taken yet
  bool draining_ = false;
  Counters counters_;
};

}  // namespace leat::proxy
