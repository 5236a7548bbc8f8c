// Who calls what, how often, how well and how fast: from what the counters said at two moments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.h"
#include "leat.pb.h"

namespace leat::cli {

struct Signals {
  double requests = 0;   // between the two moments
  double successes = 0;  // of these: neither answered with 5xx nor without an answer
  double rate = 0;       // requests a second
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;
  [[nodiscard]] double success_rate() const { return requests > 0 ? successes / requests : 1; }
};

// Requests of one workload to one workload behind a Service. No workload: answered before any was tried.
struct Edge : Signals {
  std::string source_namespace, source;
  std::string service_namespace, service;
  std::string workload, version;
  std::string security;
  double share = 0;  // of what the source sends to the service; 0 … 1
};

// Requests that one route of an object took.
struct RouteLoad : Signals {
  std::string route;  // "VirtualService shop/backend canary"; without a name its place in the object: "… [0]"
};

using Counters = google::protobuf::RepeatedPtrField<v1::Counter>;

// What was counted between `before` and `after`, `seconds` apart, by rate. What had no request is not there.
std::vector<Edge> edges_between(const Counters& before, const Counters& after, double seconds);
std::vector<RouteLoad> routes_between(const Counters& before, const Counters& after, double seconds);

// The value that `quantile` of the counted ones do not exceed, read within its bucket; of a histogram's counts.
double quantile_ms(const std::vector<double>& bounds, const std::vector<double>& counts, double quantile);

Table edge_table(const std::vector<Edge>& edges);
Json edges_json(const std::vector<Edge>& edges);
Table route_load_table(const std::vector<RouteLoad>& routes);
Json route_loads_json(const std::vector<RouteLoad>& routes);

}  // namespace leat::cli
