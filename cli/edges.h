// Who calls what, how often, how well and how fast: from what the counters said at two moments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.h"
#include "leat.pb.h"

namespace leat::cli {

// Requests of one workload to one workload behind a Service. No workload: answered before any was tried.
struct Edge {
  std::string source_namespace, source;
  std::string service_namespace, service;
  std::string workload, version;
  std::string security;
  double requests = 0;   // between the two moments
  double successes = 0;  // of these: neither answered with 5xx nor without an answer
  double rate = 0;       // requests a second
  double share = 0;      // of what the source sends to the service; 0 … 1
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;
  [[nodiscard]] double success_rate() const { return requests > 0 ? successes / requests : 1; }
};

using Counters = google::protobuf::RepeatedPtrField<v1::Counter>;

// What was counted between `before` and `after`, `seconds` apart, by rate. An edge without a request is not there.
std::vector<Edge> edges_between(const Counters& before, const Counters& after, double seconds);

// The value that `quantile` of the counted ones do not exceed, read within its bucket; of a histogram's counts.
double quantile_ms(const std::vector<double>& bounds, const std::vector<double>& counts, double quantile);

Table edge_table(const std::vector<Edge>& edges);
Json edges_json(const std::vector<Edge>& edges);

}  // namespace leat::cli
