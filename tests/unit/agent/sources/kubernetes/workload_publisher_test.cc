#include "agent/sources/kubernetes/workload_publisher.h"

#include <doctest/doctest.h>

#include "control/parse.h"

using leat::control::NodeWorkloads;
using leat::sources::to_node_workloads;

namespace {

leat::v1::Workload workload(uint32_t index) {
  leat::v1::Workload pod;
  pod.set_namespace_("shop");
  pod.set_name(fmt::format("pod-{}", index));
  pod.set_uid(fmt::format("uid-{}", index));
  pod.set_service_account("backend");
  pod.set_owner("backend");
  pod.add_addresses(leat::IpAddress::parse("10.0.0.1")->wire());
  (*pod.mutable_labels())["app"] = "backend";
  pod.set_pod_index(index);
  return pod;
}

}  // namespace

TEST_CASE("what is published is what another node reads") {
  const auto pod = workload(0);
  const leat::control::Node node{.meta = {.name = {"", "node-a"}, .uid = "node-uid"}};
  const auto objects = to_node_workloads("node-a", &node, {&pod});
  REQUIRE(objects.size() == 1);
  const auto parsed = leat::control::parse(objects.at("node-a-0"), "", "default");
  CHECK(parsed.findings.empty());
  const auto& read = std::get<NodeWorkloads>(parsed.objects.at(0));
  CHECK(read.node == "node-a");
  REQUIRE(read.pods.size() == 1);
  CHECK(read.pods[0].meta.name == leat::control::Name{"shop", "pod-0"});
  CHECK(read.pods[0].meta.uid == "uid-0");
  CHECK(read.pods[0].meta.labels.at("app") == "backend");
  CHECK(read.pods[0].meta.owner == "backend");
  CHECK(read.pods[0].service_account == "backend");
  CHECK(read.pods[0].addresses.at(0).text() == "10.0.0.1");
  CHECK(read.pods[0].published);
}

TEST_CASE("a node's 600 pods are three objects, and one that goes changes one of them") {
  std::vector<leat::v1::Workload> pods;
  for (uint32_t index = 0; index < 600; ++index) pods.push_back(workload(index));
  std::vector<const leat::v1::Workload*> all;
  for (const auto& pod : pods) all.push_back(&pod);
  const auto before = to_node_workloads("n", nullptr, all);
  CHECK(before.size() == 3);
  all.erase(all.begin() + 3);
  const auto after = to_node_workloads("n", nullptr, all);
  CHECK(before.at("n-0") != after.at("n-0"));
  CHECK(before.at("n-1") == after.at("n-1"));
  CHECK(before.at("n-2") == after.at("n-2"));
}
