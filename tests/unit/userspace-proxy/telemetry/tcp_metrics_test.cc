#include "userspace-proxy/telemetry/tcp_metrics.h"

#include <doctest/doctest.h>

#include <map>

using namespace leat;
using namespace leat::proxy;

namespace {

const Clock::time_point kStart{};

WorkloadRef workload(const std::string& owner) {
  auto pod = std::make_unique<Workload>();
  pod->namespace_ = "shop";
  pod->owner = owner;
  return WorkloadRef(pod.release());
}

FlowFacts flow(const WorkloadRef& source, const WorkloadRef& destination, v1::FlowDirection direction) {
  FlowFacts facts;
  facts.source = source;
  facts.destination = destination;
  facts.direction = direction;
  facts.bytes.a_to_b = 10;
  facts.bytes.b_to_a = 1000;
  facts.verdict = Verdict::kOk;
  return facts;
}

std::map<std::string, double> sums(const TcpMetrics& metrics, const std::vector<FlowFacts>& open, const char* label,
                                   const char* value) {
  TcpSeries series;
  metrics.copy(
      [&](const auto& visit) {
        for (const FlowFacts& each : open) visit(each);
      },
      series);
  std::map<std::string, double> all;
  TcpSeries::report({series}, "cluster.local", [&](const v1::Counter& each) {
    if (each.labels().at(label) == value) all[each.name()] += each.value();
  });
  return all;
}

}  // namespace

TEST_CASE("an open connection counts with its bytes, and once it is closed no less") {
  const WorkloadRef client = workload("client"), server = workload("server");
  TcpMetrics metrics;
  const FlowFacts facts = flow(client, server, v1::FLOW_OUTBOUND);
  const auto open = sums(metrics, {facts}, "reporter", "source");
  CHECK(open.at("istio_tcp_connections_opened_total") == 1);
  CHECK(open.at("istio_tcp_connections_closed_total") == 0);
  CHECK(open.at("istio_tcp_sent_bytes_total") == 1000);
  metrics.closed(facts, kStart);
  const auto closed = sums(metrics, {}, "reporter", "source");
  CHECK(closed.at("istio_tcp_connections_opened_total") == 1);
  CHECK(closed.at("istio_tcp_connections_closed_total") == 1);
  CHECK(closed.at("istio_tcp_received_bytes_total") == 10);
}

TEST_CASE("what comes in is reported by the destination") {
  const WorkloadRef client = workload("client"), server = workload("server");
  TcpMetrics metrics;
  metrics.closed(flow(client, server, v1::FLOW_INBOUND), kStart);
  CHECK(sums(metrics, {}, "reporter", "destination").at("istio_tcp_connections_opened_total") == 1);
  CHECK(sums(metrics, {}, "reporter", "source").empty());
}

TEST_CASE("connections beyond the cap are counted, open and closed, in one series that says so") {
  const WorkloadRef server = workload("server");
  std::vector<WorkloadRef> clients;
  std::vector<FlowFacts> open;
  TcpMetrics metrics;
  for (size_t i = 0; i < limits::kRequestSeries + 10; ++i) {
    clients.push_back(workload("client" + std::to_string(i)));
    metrics.closed(flow(clients.back(), server, v1::FLOW_OUTBOUND), kStart);
  }
  CHECK(metrics.series() == limits::kRequestSeries + 1);
  const WorkloadRef another = workload("another");
  open.push_back(flow(another, server, v1::FLOW_OUTBOUND));
  CHECK(sums(metrics, open, "destination_service_name", "overflow").at("istio_tcp_connections_opened_total") == 11);
}

TEST_CASE("a series goes when it was idle for long, and not before") {
  const WorkloadRef client = workload("client"), server = workload("server");
  TcpMetrics metrics;
  metrics.closed(flow(client, server, v1::FLOW_OUTBOUND), kStart);
  metrics.expire(kStart + limits::kRequestSeriesIdle - std::chrono::milliseconds(1));
  CHECK(metrics.series() == 1);
  metrics.expire(kStart + limits::kRequestSeriesIdle);
  CHECK(metrics.series() == 0);
}
