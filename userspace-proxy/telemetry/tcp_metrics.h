// Connections as Istio counts them: those that carry no HTTP that is understood here, from the source's side, and all
// that come in, from the destination's. One a worker. A connection costs a hash lookup when it is established and one
// when it ends, a byte nothing.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/telemetry/flow_table.h"
#include "userspace-proxy/telemetry/metric_labels.h"

namespace leat::proxy {

// A worker's sums as they were at one moment.
class TcpSeries;

class TcpMetrics {
 public:
  // A connection has come to its end, established or not.
  void closed(const FlowFacts& flow, Clock::time_point now);
  // Forgets series that no connection has touched for limits::kRequestSeriesIdle. Called now and then.
  void expire(Clock::time_point now);
  // `live` calls what it is given with each flow that is not closed: those count from their first byte on. All in one
  // turn: a connection that closes meanwhile would be missed, and a counter must not shrink.
  template <typename ForEachLive>
  void copy(ForEachLive live, TcpSeries& to) const;

  [[nodiscard]] size_t series() const { return sums_.size(); }

 private:
  friend class TcpSeries;
  struct Labels {
    bool at_source;
    Peer source, destination;
    std::string service;  // namespace/name
    bool mtls;
    auto operator<=>(const Labels&) const = default;
  };
  // The same by the objects of the model.
  struct Key {
    const Workload* source;
    const Workload* destination;
    const Service* service;
    bool at_source;
    bool mtls;
    auto operator<=>(const Key&) const = default;
  };
  struct Sums {
    uint64_t opened = 0, sent = 0, received = 0;
    uint64_t closed = 0, failed = 0;  // failed: closed before a byte came
    Clock::time_point touched{};
    void add(const Sums& more);
  };

  static bool counts(const FlowFacts& flow);
  static Key key_of(const FlowFacts& flow);
  static Labels labels_of(const Key& key);
  static void add(const FlowFacts& flow, Sums& sums);
  // Those of the overflow, where `all` is full and does not have these.
  static Sums& find_or_add(Labels labels, std::map<Labels, Sums>& all);

  std::map<Labels, Sums> sums_;
};

class TcpSeries {
 public:
  // Appends every series: istio_tcp_connections_opened_total, …_closed_total, istio_tcp_sent_bytes_total (to the
  // client) and istio_tcp_received_bytes_total. Equal labels of several workers are summed.
  static void report(std::vector<TcpSeries> workers, std::string_view trust_domain, const CounterSink& out);

 private:
  friend class TcpMetrics;
  using Labels = TcpMetrics::Labels;
  using Sums = TcpMetrics::Sums;

  std::map<Labels, Sums> sums_;
};

template <typename ForEachLive>
void TcpMetrics::copy(ForEachLive live, TcpSeries& to) const {
  std::map<Key, Sums> open;  // thousands of connections have few keys, and a key costs no string
  live([&](const FlowFacts& flow) {
    if (counts(flow) && flow.bytes.a_to_b + flow.bytes.b_to_a > 0) add(flow, open[key_of(flow)]);
  });
  to.sums_ = sums_;
  for (const auto& [key, sums] : open) find_or_add(labels_of(key), to.sums_).add(sums);
}

}  // namespace leat::proxy
