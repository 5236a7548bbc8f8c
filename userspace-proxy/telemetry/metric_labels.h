// Istio's labels of a metric: who called whom. What request_metrics and tcp_metrics have in common.
#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

using LabelTexts = std::vector<std::pair<std::string, std::string>>;

// What tells series apart, as the labels say it: pods of one Deployment share a series, and so does one pod before and
// after an edit.
struct Peer {
  std::string namespace_, workload, app, version;
  std::string account;  // empty: it has no identity in the mesh
  auto operator<=>(const Peer&) const = default;

  static Peer of(const Workload* workload);
};

// The labels source_*, destination_* and destination_service*; `service` is namespace/name, or empty.
void add_peer_labels(const Peer& source, const Peer& destination, std::string_view service,
                     std::string_view trust_domain, LabelTexts& out);

// What takes counters, one after the other.
using CounterSink = std::function<void(v1::Counter)>;

v1::Counter counter_of(const char* name, const LabelTexts& labels, double value = 0);

}  // namespace leat::proxy
