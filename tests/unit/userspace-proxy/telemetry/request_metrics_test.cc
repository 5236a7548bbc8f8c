#include "userspace-proxy/telemetry/request_metrics.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>

using namespace leat;
using namespace leat::proxy;
using namespace std::chrono_literals;

namespace {

const Clock::time_point kStart{};

WorkloadRef workload(const char* owner, const char* version, bool captured = true) {
  auto pod = std::make_unique<Workload>();
  pod->namespace_ = "shop";
  pod->service_account = owner;
  pod->owner = owner;
  pod->app = owner;
  pod->version = version;
  pod->captured = captured;
  return WorkloadRef(pod.release());
}

ServiceRef service(const char* key) {
  auto made = std::make_unique<Service>();
  made->key = key;
  return ServiceRef(made.release());
}

struct Scene {
  WorkloadRef frontend = workload("frontend", "v7");
  WorkloadRef backend = workload("backend", "v1");
  ServiceRef asked = service("shop/backend");
  RequestMetrics metrics;

  RequestFacts request(uint16_t code = 200) const {
    return {.source = frontend.get(),
            .destination = backend.get(),
            .service = asked.get(),
            .security = Security::kMtls,
            .code = code,
            .took = 3ms,
            .request_bytes = 10,
            .response_bytes = 1024};
  }
  std::vector<v1::Counter> report() const {
    RequestSeries series;
    while (metrics.copy(series, 7)) {
    }
    std::vector<v1::Counter> all;
    RequestSeries::report({series}, "cluster.local", [&](v1::Counter each) { all.push_back(std::move(each)); });
    return all;
  }
  std::vector<v1::Counter> named(std::string_view name) const {
    std::vector<v1::Counter> all = report();
    std::erase_if(all, [&](const v1::Counter& each) { return each.name() != name; });
    return all;
  }
};

uint64_t values_of(const v1::Histogram& histogram) {
  return std::accumulate(histogram.counts().begin(), histogram.counts().end(), uint64_t{0});
}

}  // namespace

TEST_CASE("a request has every label that Istio's source reporter gives it") {
  Scene scene;
  scene.metrics.record(scene.request(), kStart);
  const auto total = scene.named("istio_requests_total");
  REQUIRE(total.size() == 1);
  CHECK(total[0].value() == 1);
  CHECK(std::map<std::string, std::string>(total[0].labels().begin(), total[0].labels().end()) ==
        std::map<std::string, std::string>{{"reporter", "source"},
                                           {"source_workload", "frontend"},
                                           {"source_workload_namespace", "shop"},
                                           {"source_principal", "spiffe://cluster.local/ns/shop/sa/frontend"},
                                           {"source_app", "frontend"},
                                           {"source_version", "v7"},
                                           {"destination_workload", "backend"},
                                           {"destination_workload_namespace", "shop"},
                                           {"destination_principal", "spiffe://cluster.local/ns/shop/sa/backend"},
                                           {"destination_app", "backend"},
                                           {"destination_version", "v1"},
                                           {"destination_service", "backend.shop.svc.cluster.local"},
                                           {"destination_service_name", "backend"},
                                           {"destination_service_namespace", "shop"},
                                           {"request_protocol", "http"},
                                           {"response_code", "200"},
                                           {"grpc_response_status", ""},
                                           {"response_flags", "-"},
                                           {"connection_security_policy", "mutual_tls"}});
}

TEST_CASE("what is not known is called unknown, and a pod outside the mesh has no principal") {
  Scene scene;
  RequestFacts request = scene.request(503);
  request.destination = nullptr;
  request.service = nullptr;
  request.security = Security::kNone;
  request.flags = ResponseFlag::kNoHealthyUpstream;
  scene.metrics.record(request, kStart);
  auto labels = scene.named("istio_requests_total").at(0).labels();
  for (const char* name : {"destination_workload", "destination_principal", "destination_service",
                           "destination_service_name", "destination_version"})
    CHECK(labels[name] == "unknown");
  CHECK(labels["response_flags"] == "UH");
  CHECK(labels["connection_security_policy"] == "none");

  Scene outside;
  outside.backend = workload("backend", "v1", false);
  outside.metrics.record(outside.request(), kStart);
  CHECK(outside.named("istio_requests_total").at(0).labels().at("destination_principal") == "unknown");
}

TEST_CASE("each value is counted in the first bucket whose bound it does not exceed") {
  Histogram histogram;
  for (const double value : {0.0, 0.5, 0.6, 1.0, 3600000.0, 3600001.0}) histogram.add(value);
  CHECK(histogram.counts.front() == 2);
  CHECK(histogram.counts[1] == 2);
  CHECK(histogram.counts[Histogram::kBounds.size() - 1] == 1);
  CHECK(histogram.counts.back() == 1);
  CHECK(histogram.count() == 6);
}

TEST_CASE("durations are counted in milliseconds, and bodies in bytes") {
  Scene scene;
  scene.metrics.record(scene.request(), kStart);
  CHECK(scene.named("istio_request_duration_milliseconds").at(0).histogram().sum() == doctest::Approx(3));
  CHECK(scene.named("istio_request_bytes").at(0).histogram().sum() == 10);
  CHECK(scene.named("istio_response_bytes").at(0).histogram().sum() == 1024);
}

TEST_CASE("a code, a flag and a version each make a series of their own") {
  Scene scene;
  scene.metrics.record(scene.request(200), kStart);
  scene.metrics.record(scene.request(404), kStart);
  RequestFacts left = scene.request(200);
  left.flags = ResponseFlag::kDownstreamClosed;
  scene.metrics.record(left, kStart);
  const WorkloadRef v2 = workload("backend", "v2");
  RequestFacts other = scene.request(200);
  other.destination = v2.get();
  scene.metrics.record(other, kStart);
  CHECK(scene.metrics.series() == 4);
}

TEST_CASE("pods of one deployment share a series, and so does a pod whose object was replaced") {
  Scene scene;
  scene.metrics.record(scene.request(), kStart);
  scene.backend = workload("backend", "v1");
  scene.metrics.record(scene.request(), kStart);
  CHECK(scene.metrics.series() == 1);
  CHECK(scene.named("istio_requests_total").at(0).value() == 2);
}

TEST_CASE("a series goes when it was idle for long, and not before") {
  Scene scene;
  scene.metrics.record(scene.request(200), kStart);
  scene.metrics.record(scene.request(404), kStart + 1min);
  scene.metrics.expire(kStart + limits::kRequestSeriesIdle);
  REQUIRE(scene.metrics.series() == 1);
  CHECK(scene.named("istio_requests_total").at(0).labels().at("response_code") == "404");
  scene.metrics.record(scene.request(200), kStart + limits::kRequestSeriesIdle);
  CHECK(scene.metrics.series() == 2);
}

TEST_CASE("requests beyond the cap are counted, in one series that says so") {
  Scene scene;
  std::vector<WorkloadRef> many;
  for (size_t i = 0; i < limits::kRequestSeries + 10; ++i) {
    many.push_back(workload(std::to_string(i).c_str(), "v1"));
    RequestFacts request = scene.request();
    request.destination = many.back().get();
    scene.metrics.record(request, kStart);
    scene.metrics.record(request, kStart);
  }
  CHECK(scene.metrics.series() == limits::kRequestSeries);
  const auto total = scene.named("istio_requests_total");
  CHECK(total.size() == limits::kRequestSeries + 1);
  const auto overflow = std::ranges::find_if(
      total, [](const v1::Counter& each) { return each.labels().at("destination_workload") == "overflow"; });
  REQUIRE(overflow != total.end());
  CHECK(overflow->value() == 20);
  CHECK(overflow->labels().size() == total[0].labels().size());
  CHECK(std::ranges::all_of(scene.named("istio_request_bytes"),
                            [](const v1::Counter& each) { return values_of(each.histogram()) > 0; }));
}

TEST_CASE("what several workers counted under the same labels is one series") {
  Scene one, other;
  one.metrics.record(one.request(), kStart);
  other.metrics.record(other.request(), kStart);
  other.metrics.record(other.request(404), kStart);
  std::vector<RequestSeries> both(2);
  CHECK(!one.metrics.copy(both[0], 100));
  CHECK(!other.metrics.copy(both[1], 100));
  std::map<std::string, double> totals;
  RequestSeries::report(both, "cluster.local", [&](const v1::Counter& each) {
    if (each.name() == "istio_requests_total") totals[each.labels().at("response_code")] += each.value();
  });
  CHECK(totals == std::map<std::string, double>{{"200", 2}, {"404", 1}});
}

TEST_CASE("a copy takes no more series at once than it is told, and each of them once") {
  Scene scene;
  for (const uint16_t code : {200, 201, 202, 404, 503}) scene.metrics.record(scene.request(code), kStart);
  RequestSeries copied;
  CHECK(scene.metrics.copy(copied, 2));
  scene.metrics.record(scene.request(204), kStart);  // comes between two parts
  CHECK(scene.metrics.copy(copied, 2));
  CHECK(!scene.metrics.copy(copied, 2));
  std::map<std::string, double> totals;
  RequestSeries::report({copied}, "cluster.local", [&](const v1::Counter& each) {
    if (each.name() == "istio_requests_total") totals[each.labels().at("response_code")] += each.value();
  });
  CHECK(totals ==
        std::map<std::string, double>{{"200", 1}, {"201", 1}, {"202", 1}, {"204", 1}, {"404", 1}, {"503", 1}});
}

TEST_CASE("routes have their own durations, and edges do not fall apart by them") {
  Scene scene;
  route::Route first, second;
  first.label = "VirtualService shop/backend canary";
  second.label = "VirtualService shop/backend [1]";
  for (const route::Route* route : {&first, &first, &second}) {
    RequestFacts request = scene.request();
    request.asked = scene.asked.get();
    request.route = route;
    scene.metrics.record(request, kStart);
  }
  scene.metrics.record(scene.request(), kStart);  // of no route
  REQUIRE(scene.named("istio_requests_total").size() == 1);
  CHECK(scene.named("istio_requests_total")[0].value() == 4);
  std::map<std::string, uint64_t> counted;
  for (const v1::Counter& each : scene.named("leat_route_duration_milliseconds")) {
    CHECK(each.labels().at("response_code") == "200");
    counted[each.labels().at("route")] = values_of(each.histogram());
  }
  CHECK(counted == std::map<std::string, uint64_t>{{first.label, 2}, {second.label, 1}});
}
