#include "cli/edges.h"

#include <doctest/doctest.h>

namespace leat::cli {
namespace {

// `counts` in the buckets up to 1, 10 and 100 ms, and above.
void add(Counters& counters, const std::string& version, const std::string& code,
         std::initializer_list<uint64_t> counts) {
  v1::Counter& counter = *counters.Add();
  counter.set_name("istio_request_duration_milliseconds");
  auto& labels = *counter.mutable_labels();
  labels["reporter"] = "source";
  labels["source_workload"] = "frontend";
  labels["source_workload_namespace"] = "shop";
  labels["destination_service_name"] = "backend";
  labels["destination_service_namespace"] = "shop";
  labels["destination_workload"] = "backend-" + version;
  labels["destination_version"] = version;
  labels["response_code"] = code;
  for (const double bound : {1.0, 10.0, 100.0}) counter.mutable_histogram()->add_bounds(bound);
  for (const uint64_t count : counts) counter.mutable_histogram()->add_counts(count);
}

TEST_CASE("an edge has what was counted between two moments") {
  Counters before, after;
  add(before, "v1", "200", {5, 5, 0, 0});
  add(after, "v1", "200", {85, 5, 0, 0});
  add(after, "v1", "503", {0, 10, 0, 0});
  add(after, "v2", "404", {0, 0, 10, 0});
  const std::vector<Edge> edges = edges_between(before, after, 2);
  REQUIRE(edges.size() == 2);
  CHECK(edges[0].version == "v1");
  CHECK(edges[0].requests == 90);
  CHECK(edges[0].rate == 45);
  CHECK(edges[0].share == doctest::Approx(0.9));
  CHECK(edges[0].success_rate() == doctest::Approx(80.0 / 90));
  CHECK(edges[0].p50_ms == doctest::Approx(45.0 / 80));
  CHECK(edges[0].p95_ms == doctest::Approx(1 + 9 * 5.5 / 10));
  CHECK(edges[1].success_rate() == 1);
}

TEST_CASE("a proxy that began anew between two moments is not counted backwards") {
  Counters before, after;
  add(before, "v1", "200", {100, 0, 0, 0});
  add(after, "v1", "200", {7, 0, 0, 0});
  CHECK(edges_between(before, after, 1).at(0).requests == 7);
}

TEST_CASE("an edge without a new request is not shown") {
  Counters same;
  add(same, "v1", "200", {100, 0, 0, 0});
  CHECK(edges_between(same, same, 1).empty());
}

TEST_CASE("a route has what was counted between two moments, the busiest first") {
  const auto count = [](Counters& counters, const char* route, const char* code,
                        std::initializer_list<uint64_t> counts) {
    add(counters, "v1", code, counts);
    v1::Counter& counter = *counters.rbegin();
    counter.set_name("leat_route_duration_milliseconds");
    (*counter.mutable_labels())["route"] = route;
  };
  Counters before, after;
  count(before, "VirtualService shop/backend [0]", "200", {10, 0, 0, 0});
  count(after, "VirtualService shop/backend [0]", "200", {40, 0, 0, 0});
  count(after, "VirtualService shop/backend [0]", "503", {0, 10, 0, 0});
  count(after, "VirtualService shop/backend canary", "200", {0, 80, 0, 0});
  const std::vector<RouteLoad> routes = routes_between(before, after, 2);
  REQUIRE(routes.size() == 2);
  CHECK(routes[0].route == "VirtualService shop/backend canary");
  CHECK(routes[0].rate == 40);
  CHECK(routes[0].success_rate() == 1);
  CHECK(routes[1].requests == 40);
  CHECK(routes[1].success_rate() == doctest::Approx(0.75));
  CHECK(routes[1].p99_ms > 1);
  CHECK(route_loads_json(routes)[0]["kind"] == "route");
}

TEST_CASE("a quantile beyond the last bound is told as that bound") {
  CHECK(quantile_ms({1, 10}, {0, 0, 5}, 0.5) == 10);
  CHECK(quantile_ms({1, 10}, {0, 0, 0}, 0.5) == 0);
}

}  // namespace
}  // namespace leat::cli
