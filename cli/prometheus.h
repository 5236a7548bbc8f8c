// Counters in Prometheus' text format (version 0.0.4) and in OpenMetrics': families sorted by name, each with its type.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "leat.pb.h"

namespace leat::cli {

// A histogram as Prometheus tells it: how many values are not above each bound.
struct Buckets {
  explicit Buckets(const v1::Histogram& histogram);
  std::vector<std::pair<double, uint64_t>> cumulative;  // (bound, count)
  uint64_t total = 0;                                   // those above every bound too
};

std::string prometheus_text(const v1::ApiReply& reply);
// OpenMetrics 1.0: a counter's family has no "_total", and the end is marked.
std::string openmetrics_text(const v1::ApiReply& reply);

}  // namespace leat::cli
