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
constexpr char kRouteDurations[] = "leat_route_duration_milliseconds";
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

Cell success_cell(const Signals& signals) {
  const double percent = 100 * signals.success_rate();
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

namespace {

// The histograms of one family, what `before` had already left out, by what `key_of` makes of their labels.
template <typename KeyOf>
auto sums_between(const Counters& before, const Counters& after, std::string_view family, KeyOf key_of) {
  std::map<Labels, const v1::Counter*> earlier;
  for (const v1::Counter& counter : before) {
    if (counter.name() == family) earlier[{counter.labels().begin(), counter.labels().end()}] = &counter;
  }
  std::map<decltype(key_of(v1::Counter())), Sums> sums;
  for (const v1::Counter& counter : after) {
    if (counter.name() != family || label(counter, "reporter") == "destination") continue;
    const auto found = earlier.find({counter.labels().begin(), counter.labels().end()});
    add(difference(found == earlier.end() ? nullptr : found->second, counter), sums[key_of(counter)]);
  }
  std::erase_if(sums, [](const auto& each) { return each.second.requests <= 0; });
  return sums;
}

void fill(const Sums& sums, double seconds, Signals& out) {
  out.requests = sums.requests;
  out.successes = sums.successes;
  out.rate = seconds > 0 ? sums.requests / seconds : 0;
  out.p50_ms = quantile_ms(sums.bounds, sums.counts, 0.50);
  out.p95_ms = quantile_ms(sums.bounds, sums.counts, 0.95);
  out.p99_ms = quantile_ms(sums.bounds, sums.counts, 0.99);
}

void add_cells(const Signals& signals, Row& row) {
  for (Cell& cell : std::vector<Cell>{fmt::format("{:.1f}/s", signals.rate), success_cell(signals),
                                      milliseconds_text(signals.p50_ms), milliseconds_text(signals.p95_ms),
                                      milliseconds_text(signals.p99_ms)})
    row.cells.push_back(std::move(cell));
}

void add_json(const Signals& signals, Json& out) {
  out["requests"] = signals.requests;
  out["successes"] = signals.successes;
  out["rate"] = signals.rate;
  out["successRate"] = signals.success_rate();
  out["p50Ms"] = signals.p50_ms;
  out["p95Ms"] = signals.p95_ms;
  out["p99Ms"] = signals.p99_ms;
}

}  // namespace

std::vector<Edge> edges_between(const Counters& before, const Counters& after, double seconds) {
  std::vector<Edge> edges;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, double> totals;
  for (const auto& [key, sums] : sums_between(before, after, kDurations, key_of)) {
    Edge edge;
    std::tie(edge.source_namespace, edge.source, edge.service_namespace, edge.service, edge.workload, edge.version,
             edge.security) = key;
    fill(sums, seconds, edge);
    totals[{edge.source_namespace, edge.source, edge.service_namespace, edge.service}] += sums.requests;
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

std::vector<RouteLoad> routes_between(const Counters& before, const Counters& after, double seconds) {
  std::vector<RouteLoad> routes;
  const auto route_of = [](const v1::Counter& counter) { return label(counter, "route"); };
  for (const auto& [route, sums] : sums_between(before, after, kRouteDurations, route_of)) {
    RouteLoad load;
    load.route = route;
    fill(sums, seconds, load);
    routes.push_back(std::move(load));
  }
  std::ranges::sort(routes, {},
                    [](const RouteLoad& load) { return std::make_pair(-load.rate, std::string_view(load.route)); });
  return routes;
}

Table edge_table(const std::vector<Edge>& edges) {
  Table table({"SOURCE", "SERVICE", "WORKLOAD", "VERSION", "SHARE", "RATE", "SUCCESS", "P50", "P95", "P99"});
  for (const Edge& edge : edges) {
    Row row;
    row.cells = {fmt::format("{}/{}", edge.source_namespace, edge.source),
                 edge.service.empty() ? "-" : fmt::format("{}/{}", edge.service_namespace, edge.service),
                 edge.workload.empty() ? "-" : edge.workload, edge.version.empty() ? "-" : edge.version,
                 fmt::format("{:.1f}%", 100 * edge.share)};
    add_cells(edge, row);
    table.add(std::move(row));
  }
  return table;
}

Json edges_json(const std::vector<Edge>& edges) {
  Json list = Json::array();
  for (const Edge& edge : edges) {
    Json json = {{"kind", "edge"},          {"sourceNamespace", edge.source_namespace},
                 {"source", edge.source},   {"serviceNamespace", edge.service_namespace},
                 {"service", edge.service}, {"workload", edge.workload},
                 {"version", edge.version}, {"security", edge.security},
                 {"share", edge.share}};
    add_json(edge, json);
    list.push_back(std::move(json));
  }
  return list;
}

Table route_load_table(const std::vector<RouteLoad>& routes) {
  Table table({"ROUTE", "RATE", "SUCCESS", "P50", "P95", "P99"});
  for (const RouteLoad& load : routes) {
    Row row;
    row.cells = {load.route};
    add_cells(load, row);
    table.add(std::move(row));
  }
  return table;
}

Json route_loads_json(const std::vector<RouteLoad>& routes) {
  Json list = Json::array();
  for (const RouteLoad& load : routes) {
    Json json = {{"kind", "route"}, {"route", load.route}};
    add_json(load, json);
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace leat::cli
