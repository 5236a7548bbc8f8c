// Connections as Istio counts them: those that carry no HTTP that is understood here, from the source's side, and all
// that come in, from the destination's. One a worker. A connection costs a hash lookup when it is established and one
// when it ends, a byte nothing.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/telemetry/flow_table.h"
#include "userspace-proxy/telemetry/metric_labels.h"

namespace leat::proxy {

class TcpMetrics {
 public:
  // A connection has come to its end, established or not.
  void closed(const FlowFacts& flow, Clock::time_point now);
  // Forgets series that no connection has touched for limits::kRequestSeriesIdle. Called now and then.
  void expire(Clock::time_point now);
  // Appends every series: istio_tcp_connections_opened_total, …_closed_total, istio_tcp_sent_bytes_total (to the
  // client) and istio_tcp_received_bytes_total. `live` calls what it is given with each flow that is not closed: those
  // count from their first byte on.
  template <typename ForEachLive>
  void report(std::string_view trust_domain, ForEachLive live, std::vector<v1::Counter>* out) const {
    std::map<Labels, Sums> sums = sums_;
    live([&](const FlowFacts& flow) {
      if (!counts(flow) || flow.bytes.a_to_b + flow.bytes.b_to_a == 0) return;
      add(flow, sums[labels_of(flow)]);
    });
    append(trust_domain, sums, out);
  }

 private:
  struct Labels {
    bool at_source;
    Peer source, destination;
    std::string service;  // namespace/name
    bool mtls;
    auto operator<=>(const Labels&) const = default;
  };
  struct Sums {
    uint64_t opened = 0, sent = 0, received = 0;
    uint64_t closed = 0, failed = 0;  // failed: closed before a byte came
    Clock::time_point touched{};
  };

  static bool counts(const FlowFacts& flow);
  static Labels labels_of(const FlowFacts& flow);
  static void add(const FlowFacts& flow, Sums& sums);
  static void append(std::string_view trust_domain, const std::map<Labels, Sums>& sums, std::vector<v1::Counter>* out);

  std::map<Labels, Sums> sums_;
};

}  // namespace leat::proxy
