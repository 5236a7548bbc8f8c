#include "cli/edges.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

namespace leat::cli {
namespace {

constexpr char kDurations[] = "istio_request_duration_milliseconds";
constexpr std::string_view kUnknown = "unknown";

using Labels = std::map<std::string, std::string>;

struct Sums {
  std::vector<double> bounds, counts;
  double requests = 0, successes = 0;
};
using Key = std::tuple<std::string, std::string, std::string, std::string, std::string, std::string, std::string>;

std::string label(const v1::Counter& counter, const char* name) {
  const auto found = counter.labels().find(name);
  return found == counter.labels().end() || found->second == kUnknown ? "" : found->second;
}

Key key_of(const v1::Counter& counter) {
  return {label(counter, "source_workload_namespace"),     label(counter, "source_workload"),
          label(counter, "destination_service_namespace"), label(counter, "destination_service_name"),
          label(counter, "destination_workload"),          label(counter, "destination_version"),
          label(counter, "connection_security_policy")};
}

bool went_well(const v1::Counter& counter) {
  const std::string code = label(counter, "response_code");
  return code.size() == 3 && code[0] != '5';
}

// What `after` has beyond `before`; all of it where the proxy began to count anew between the two.
Sums difference(const v1::Counter* before, const v1::Counter& after) {
  const v1::Histogram& now = after.histogram();
  Sums sums{.bounds = {now.bounds().begin(), now.bounds().end()}, .counts = {now.counts().begin(), now.counts().end()}};
  const bool same = before != nullptr && before->histogram().counts_size() == now.counts_size();
  bool shrank = false;
  for (int i = 0; same && i < now.counts_size(); ++i) shrank |= before->histogram().counts(i) > now.counts(i);
  for (int i = 0; same && !shrank && i < now.counts_size(); ++i)
    sums.counts[static_cast<size_t>(i)] -= static_cast<double>(before->histogram().counts(i));
  sums.requests = std::accumulate(sums.counts.begin(), sums.counts.end(), 0.0);
  sums.successes = went_well(after) ? sums.requests : 0;
  return sums;
}

void add(const Sums& more, Sums& total) {
  total.requests += more.requests;
  total.successes += more.successes;
  if (total.bounds.empty()) total.bounds = more.bounds;
  total.counts.resize(std::max(total.counts.size(), more.counts.size()));
  for (size_t i = 0; i < more.counts.size(); ++i) total.counts[i] += more.counts[i];
}

std::string milliseconds_text(double ms) {
  return ms < 10       ? fmt::format("{:.1f} ms", ms)
         : ms < 10'000 ? fmt::format("{:.0f} ms", ms)
                       : fmt::format("{:.1f} s", ms / 1000);
}

Cell success_cell(const Edge& edge) {
  const double percent = 100 * edge.success_rate();
  return {fmt::format("{:.2f}%", percent), percent >= 99.9 ? Colour::kGreen
                                           : percent >= 99 ? Colour::kYellow
                                                           : Colour::kRed};
}

}  // namespace

double quantile_ms(const std::vector<double>& bounds, const std::vector<double>& counts, double quantile) {
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0);
  const double wanted = quantile * total;
  double below = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0 || below + counts[i] < wanted) {
      below += counts[i];
      continue;
    }
    if (i >= bounds.size()) break;
    const double low = i == 0 ? 0 : bounds[i - 1];
    return low + (bounds[i] - low) * (wanted - below) / counts[i];
  }
  return total > 0 && !bounds.empty() ? bounds.back() : 0;
}

std::vector<Edge> edges_between(const Counters& before, const Counters& after, double seconds) {
  std::map<Labels, const v1::Counter*> earlier;
  for (const v1::Counter& counter : before) {
    if (counter.name() == kDurations) earlier[{counter.labels().begin(), counter.labels().end()}] = &counter;
  }
  std::map<Key, Sums> sums;
  for (const v1::Counter& counter : after) {
    if (counter.name() != kDurations || label(counter, "reporter") != "source") continue;
    const auto found = earlier.find({counter.labels().begin(), counter.labels().end()});
    add(difference(found == earlier.end() ? nullptr : found->second, counter), sums[key_of(counter)]);
  }
  std::vector<Edge> edges;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, double> totals;
  for (const auto& [key, sum] : sums) {
    if (sum.requests <= 0) continue;
    Edge edge;
    std::tie(edge.source_namespace, edge.source, edge.service_namespace, edge.service, edge.workload, edge.version,
             edge.security) = key;
    edge.requests = sum.requests;
    edge.successes = sum.successes;
    edge.rate = seconds > 0 ? sum.requests / seconds : 0;
    edge.p50_ms = quantile_ms(sum.bounds, sum.counts, 0.50);
    edge.p95_ms = quantile_ms(sum.bounds, sum.counts, 0.95);
    edge.p99_ms = quantile_ms(sum.bounds, sum.counts, 0.99);
    totals[{edge.source_namespace, edge.source, edge.service_namespace, edge.service}] += sum.requests;
    edges.push_back(std::move(edge));
  }
  for (Edge& edge : edges)
    edge.share = edge.requests / totals[{edge.source_namespace, edge.source, edge.service_namespace, edge.service}];
  std::ranges::sort(edges, {}, [](const Edge& edge) {
    return std::make_tuple(-edge.rate, std::string_view(edge.source), std::string_view(edge.service),
                           std::string_view(edge.workload), std::string_view(edge.version));
  });
  return edges;
}

Table edge_table(const std::vector<Edge>& edges) {
  Table table({"SOURCE", "SERVICE", "WORKLOAD", "VERSION", "SHARE", "RATE", "SUCCESS", "P50", "P95", "P99"});
  for (const Edge& edge : edges) {
    Row row;
    row.cells = {fmt::format("{}/{}", edge.source_namespace, edge.source),
                 edge.service.empty() ? "-" : fmt::format("{}/{}", edge.service_namespace, edge.service),
                 edge.workload.empty() ? "-" : edge.workload,
                 edge.version.empty() ? "-" : edge.version,
                 fmt::format("{:.1f}%", 100 * edge.share),
                 fmt::format("{:.1f}/s", edge.rate),
                 success_cell(edge),
                 milliseconds_text(edge.p50_ms),
                 milliseconds_text(edge.p95_ms),
                 milliseconds_text(edge.p99_ms)};
    table.add(std::move(row));
  }
  return table;
}

Json edges_json(const std::vector<Edge>& edges) {
  Json list = Json::array();
  for (const Edge& edge : edges) {
    list.push_back({{"sourceNamespace", edge.source_namespace},
                    {"source", edge.source},
                    {"serviceNamespace", edge.service_namespace},
                    {"service", edge.service},
                    {"workload", edge.workload},
                    {"version", edge.version},
                    {"security", edge.security},
                    {"requests", edge.requests},
                    {"successes", edge.successes},
                    {"rate", edge.rate},
                    {"share", edge.share},
                    {"successRate", edge.success_rate()},
                    {"p50Ms", edge.p50_ms},
                    {"p95Ms", edge.p95_ms},
                    {"p99Ms", edge.p99_ms}});
  }
  return list;
}

}  // namespace leat::cli
