#include "agent/merge.h"

#include <doctest/doctest.h>

#include "agent/flow_view.h"
#include "agent/limits.h"

using leat::agent::ClosedFlows;
using leat::agent::FlowCursors;
using leat::agent::FlowNames;
using leat::agent::merge_flows;
using leat::agent::merge_stats;
using leat::agent::ProxyChannel;
namespace capture = leat::capture;
namespace v1 = leat::v1;

TEST_CASE("flows of all proxies and parts are in one reply, of this node, and the silent ones are named") {
  ProxyChannel::Answers answers;
  for (const auto& [instance, next] : {std::pair{"a", 5}, std::pair{"a", 9}, std::pair{"b", 3}}) {
    v1::ToAgent part;
    part.mutable_flow_reply()->set_next_closed_sequence(static_cast<uint64_t>(next));
    part.mutable_flow_reply()->add_flows()->set_node("a lie");
    answers.replies.emplace_back(instance, part);
  }
  answers.silent = {"c"};
  v1::ApiReply reply;
  FlowCursors::Position position;
  merge_flows(answers, "node-a", reply, position);
  REQUIRE(reply.flows_size() == 3);
  CHECK(reply.flows(0).node() == "node-a");
  CHECK(position.of("a") == 9);
  CHECK(position.of("b") == 3);
  CHECK(reply.error() == "proxy c did not answer within 1000 ms; its part is missing");
}

TEST_CASE("counters are summed by name and labels, and of two certificates the longer one counts") {
  ProxyChannel::Answers answers;
  for (int i = 1; i <= 2; ++i) {
    v1::ToAgent part;
    auto& counter = *part.mutable_stats_reply()->add_counters();
    counter.set_name("flows");
    (*counter.mutable_labels())["pod"] = "shop/a";
    counter.set_value(i);
    part.mutable_stats_reply()->add_counters()->set_name("flows");
    auto& certificate = *part.mutable_stats_reply()->add_certificates();
    certificate.set_identity("spiffe://x");
    certificate.set_not_after_ms(1000 * i);
    answers.replies.emplace_back(std::to_string(i), part);
  }
  v1::ApiReply reply;
  merge_stats(answers, reply);
  REQUIRE(reply.counters_size() == 2);
  CHECK(reply.counters(1).value() == 3);
  REQUIRE(reply.certificates_size() == 1);
  CHECK(reply.certificates(0).not_after_ms() == 2000);
  CHECK(reply.error().empty());
}

TEST_CASE("histograms are summed bucket by bucket, those of other bounds left out") {
  ProxyChannel::Answers answers;
  for (const double bound : {1.0, 1.0, 2.0}) {
    v1::ToAgent part;
    auto& counter = *part.mutable_stats_reply()->add_counters();
    counter.set_name("took");
    counter.mutable_histogram()->add_bounds(bound);
    counter.mutable_histogram()->add_counts(3);
    counter.mutable_histogram()->add_counts(1);
    counter.mutable_histogram()->set_sum(5);
    answers.replies.emplace_back(std::to_string(answers.replies.size()), part);
  }
  v1::ApiReply reply;
  merge_stats(answers, reply);
  REQUIRE(reply.counters_size() == 1);
  const v1::Histogram& sum = reply.counters(0).histogram();
  CHECK(sum.counts(0) == 6);
  CHECK(sum.counts(1) == 2);
  CHECK(sum.sum() == 10);
}

TEST_CASE("a cursor that was forgotten is the beginning, and none is given twice") {
  FlowCursors cursors(100);
  const uint64_t first = cursors.remember({.proxies = {{"a", 7}}, .kernel = 2});
  CHECK(first == 100);
  CHECK(cursors.find(first).of("a") == 7);
  CHECK(cursors.find(first).kernel == 2);
  CHECK(cursors.find(0).of("a") == 0);
  for (int i = 0; i < 2000; ++i) CHECK(cursors.remember({}) > first);
  CHECK(cursors.find(first).of("a") == 0);
}

TEST_CASE("a reader of closed flows sees each once, and what was forgotten is counted") {
  ClosedFlows closed;
  google::protobuf::RepeatedPtrField<v1::Flow> out;
  closed.add({});
  closed.add({});
  const uint64_t cursor = closed.since(0, out);
  CHECK(out.size() == 2);
  CHECK(closed.since(cursor, out) == cursor);
  CHECK(out.size() == 2);
  closed.add({});
  CHECK(closed.since(cursor, out) == cursor + 1);
  CHECK(out.size() == 3);
  for (size_t i = 0; i < leat::agent::limits::kMaxClosedDirectFlows; ++i) closed.add({});
  CHECK(closed.forgotten() == 3);
}

TEST_CASE("kernel flows carry the names that the model has for indexes and addresses") {
  v1::Mesh mesh;
  const auto add = [&](const char* name, uint32_t index, const char* ip, bool local) {
    auto& pod = *mesh.add_workloads();
    pod.set_uid(name);
    pod.set_namespace_("shop");
    pod.set_name(name);
    pod.set_local(local);
    pod.set_captured(local);
    pod.set_pod_index(index);
    pod.add_addresses(leat::IpAddress::parse(ip)->wire());
  };
  add("client", 1, "10.1.0.11", true);
  add("server", 2, "10.1.0.12", true);
  add("far", 0xffffffff, "10.2.0.11", false);
  const v1::Workload far = mesh.workloads(2);
  mesh.mutable_workloads()->RemoveLast();
  const std::string node = "node-a";
  using leat::IpAddress;
  using leat::control::Name;
  const FlowNames names(
      node, mesh,
      {.workload_at = [&](const IpAddress& at) { return at.text() == "10.2.0.11" ? std::optional(far) : std::nullopt; },
       .service_at =
           [](const IpAddress& vip) {
             return vip.text() == "10.96.0.1" ? std::optional(Name{"shop", "backend"}) : std::nullopt;
           },
       .service_of_alias = [](uint32_t) { return std::optional<Name>(); }});

  const v1::Flow direct = names.direct({.client_pod = 1,
                                        .backend_pod = 2,
                                        .client = *leat::SocketAddress::parse("10.1.0.11:4000"),
                                        .requested = *leat::SocketAddress::parse("10.96.0.1:80"),
                                        .backend = *leat::SocketAddress::parse("10.1.0.12:8080"),
                                        .bytes_sent = 5});
  CHECK(direct.source_pod() == "client");
  CHECK(direct.destination_pod() == "server");
  CHECK(direct.destination_service() == "shop/backend");
  CHECK(direct.verdict() == "open");
  CHECK(direct.path() == v1::PATH_DIRECT);

  const v1::Flow untouched = names.untouched({.local = *leat::SocketAddress::parse("10.1.0.11:8080"),
                                              .remote = *leat::SocketAddress::parse("10.2.0.11:5000"),
                                              .inbound = true,
                                              .bytes_sent = 7,
                                              .bytes_received = 3},
                                             mesh.workloads(0));
  CHECK(untouched.source_pod() == "far");
  CHECK(untouched.destination_pod() == "client");
  CHECK(untouched.bytes_sent() == 3);
  CHECK(untouched.bytes_received() == 7);
  CHECK(untouched.reason() == "not in the mesh");
}
