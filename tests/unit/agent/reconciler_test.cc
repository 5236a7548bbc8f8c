#include "agent/reconciler.h"

#include <doctest/doctest.h>

#include "agent/limits.h"
#include "control/parse.h"

using namespace std::chrono_literals;
using leat::EventLoop;
using leat::agent::Clock;
using leat::agent::Reconciler;
using leat::agent::SourceIds;
namespace capture = leat::capture;
namespace control = leat::control;

namespace {

std::string pod(const char* name, const char* ip) {
  return fmt::format(R"(---
apiVersion: v1
kind: Pod
metadata: {{name: {0}, namespace: shop, uid: {0}, annotations: {{leat.dev/netns: /run/netns/{0}}}}}
spec: {{nodeName: node-a}}
status: {{podIP: {1}, phase: Running}}
)",
                     name, ip);
}

constexpr const char* kNamespace = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {leat.dev/mesh: enabled}}
)";
constexpr const char* kStrict = R"(
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
)";

// A node that writes down what is done to it, in order.
struct Node {
  std::unique_ptr<EventLoop> loop = *EventLoop::make();
  control::ObjectSet objects;
  control::Books books;
  SourceIds ids{books.aliases};
  std::vector<std::string> steps;
  std::vector<capture::Plan> plans;
  std::map<uint32_t, bool> aliases;  // as the kernel has them: whether each one is a destination
  std::vector<uint64_t> generations;
  size_t snapshots = 0;
  bool armed = true;
  bool books_fail = false;
  bool full = false;
  std::vector<capture::PodFailure> failing;
  Reconciler reconciler{*loop,
                        "node-a",
                        books,
                        ids,
                        {.objects = [this]() -> const control::ObjectSet& { return objects; },
                         .source_findings = [] { return std::vector<leat::v1::Finding>{}; },
                         .save_books = [this]() -> leat::Result<void> {
                           if (books_fail) return leat::fail(leat::ErrorCode::kSystem, "disk full");
                           return {};
                         },
                         .apply = [this](const capture::Plan& plan) -> leat::Result<capture::Report> {
                           steps.push_back("apply");
                           if (full) return leat::fail(leat::ErrorCode::kExhausted, "map services is full");
                           plans.push_back(plan);
                           follow(plan);
                           return capture::Report{.failed_pods = failing};
                         },
                         .publish =
                             [this](uint64_t generation, const leat::v1::MeshChange* change) {
                               steps.push_back("publish");
                               generations.push_back(generation);
                               snapshots += change == nullptr ? 1 : 0;
                             },
                         .send_listeners = [this] { steps.push_back("listeners"); },
                         .proxy_armed = [this] { return armed; }}};

  void edit(const std::string& yaml) {
    for (control::Object& object : control::parse(yaml, "test.yaml", "default").objects) objects.put(std::move(object));
    steps.clear();
    plans.clear();
    reconciler.objects_changed(Clock::now());
  }
  void acknowledge() { reconciler.acknowledged(generations.back()); }
  void follow(const capture::Plan& plan) {
    if (plan.all_aliases) aliases.clear();
    for (const uint32_t id : plan.removed_aliases) CHECK(aliases.erase(id) == 1);
    for (const capture::AliasSpec& alias : plan.aliases) aliases[alias.id] = alias.destination;
  }
  [[nodiscard]] size_t destinations() const {
    return static_cast<size_t>(std::ranges::count_if(aliases, [](const auto& alias) { return alias.second; }));
  }
};

using Steps = std::vector<std::string>;

}  // namespace

TEST_CASE("a new destination is captured only when the armed proxy acts on the model that has it") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.acknowledge();
  node.edit(pod("b", "10.1.0.12"));
  CHECK(node.steps == Steps{"apply", "publish", "listeners"});
  CHECK(node.plans[0].pods.size() == 2);
  CHECK(node.destinations() == 1);
  node.reconciler.acknowledged(node.generations.back() - 1);  // an older model is not enough
  CHECK(node.plans.size() == 1);
  node.acknowledge();
  REQUIRE(node.plans.size() == 2);
  CHECK(node.destinations() == 2);
  CHECK(node.reconciler.latency().count() == 1);
}

TEST_CASE("strictness reaches the kernel before the proxy hears of it") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.acknowledge();
  node.edit(kStrict);
  REQUIRE(node.steps.size() == 3);
  CHECK(node.steps[0] == "apply");
  CHECK(node.plans[0].pods[0].strict);
  CHECK(node.steps[1] == "publish");
}

TEST_CASE("without an armed proxy nothing is waited for") {
  Node node;
  node.armed = false;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.edit(pod("b", "10.1.0.12"));
  CHECK(node.destinations() == 2);
  CHECK(node.reconciler.latency().count() == 1);
}

TEST_CASE("edits that come while one is under way are one edit after it") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.edit(pod("b", "10.1.0.12"));
  node.edit(pod("c", "10.1.0.13"));
  CHECK(node.steps.empty());
  node.acknowledge();
  CHECK(node.generations.size() == 2);
  CHECK(node.plans.back().pods.size() == 3);
}

TEST_CASE("a proxy that does not acknowledge holds new destinations back for a bounded time") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.acknowledge();
  node.edit(pod("b", "10.1.0.12"));
  const auto start = Clock::now();
  while (node.plans.size() == 1 && Clock::now() - start < 5s) node.loop->run_once(5s);
  REQUIRE(node.plans.size() == 2);
  CHECK(node.destinations() == 2);
}

TEST_CASE("an edit whose ids can't be saved changes nothing, and is tried again") {
  Node node;
  node.books_fail = true;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  CHECK(node.steps.empty());
  REQUIRE(node.reconciler.failure());
  node.books_fail = false;
  const auto start = Clock::now();
  while (node.plans.empty() && Clock::now() - start < 5s) node.loop->run_once(5s);
  CHECK(node.plans.size() == 1);
  CHECK_FALSE(node.reconciler.failure());
}

TEST_CASE("an edit that changes nothing for the proxy makes no new generation") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.acknowledge();
  node.edit(pod("a", "10.1.0.11"));
  CHECK(node.steps == Steps{"apply", "listeners"});
  CHECK(node.generations.size() == 1);
}

TEST_CASE("a pod that can't be captured is failed with the reason, and enrolment that ends is a release") {
  Node node;
  node.failing = {{.uid = "a", .error = {.message = "its namespace is gone"}}};
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  CHECK(node.reconciler.pods().at("a").enrolment == "failed");
  CHECK(node.reconciler.pods().at("a").reason == "its namespace is gone");
  node.failing.clear();
  node.acknowledge();
  node.edit(kStrict);
  node.acknowledge();
  CHECK(node.reconciler.pods().at("a").enrolment == "enrolled");
  node.edit("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n");
  CHECK(node.reconciler.pods().at("a").enrolment == "released");
}

TEST_CASE("an edit names only what it changes, and everything where the kernel did not take the last one") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11") + pod("b", "10.1.0.12"));
  node.acknowledge();
  CHECK(node.plans[0].all_aliases);
  CHECK(node.snapshots == 1);
  node.edit(pod("b", "10.1.0.13"));
  node.acknowledge();
  CHECK_FALSE(node.plans[0].all_aliases);
  CHECK(node.plans[0].aliases.size() == 2);  // the old address only decodes
  CHECK(node.destinations() == 2);
  CHECK(node.snapshots == 1);

  node.full = true;
  node.edit(pod("c", "10.1.0.14"));
  node.acknowledge();
  CHECK(node.destinations() == 2);
  node.full = false;
  node.edit(pod("d", "10.1.0.15"));
  node.acknowledge();
  CHECK(node.plans[0].all_aliases);
  CHECK(node.destinations() == 4);
}

TEST_CASE("ids of clients outside the model are decoded while they are leased") {
  Node node;
  node.edit(std::string(kNamespace) + pod("a", "10.1.0.11"));
  node.acknowledge();
  const uint32_t id = *node.ids.lease("i", "a", *leat::IpAddress::parse("192.0.2.1"));
  REQUIRE(node.reconciler.source_ids_changed());
  CHECK(node.aliases.contains(id));
  CHECK_FALSE(node.aliases.at(id));
  const uint32_t of_pod = *node.ids.lease("i", "a", *leat::IpAddress::parse("10.1.0.11"));
  REQUIRE(node.reconciler.source_ids_changed());
  CHECK(node.aliases.at(of_pod));  // the model's: still a destination
  REQUIRE(node.ids.release("i", id));
  REQUIRE(node.reconciler.source_ids_changed());
  CHECK_FALSE(node.aliases.contains(id));
}
