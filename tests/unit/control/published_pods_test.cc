#include "control/published_pods.h"

#include <doctest/doctest.h>

#include "control/compile.h"
#include "control/parse.h"

using namespace leat::control;

namespace {

constexpr const char* kScene = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {leat.dev/mesh: enabled}}
---
apiVersion: leat.dev/v1alpha1
kind: NodeWorkloads
metadata: {name: node-b-0}
spec:
  node: node-b
  workloads:
  - {namespace: shop, name: server, uid: uid-server, addresses: [10.2.0.1], serviceAccount: backend}
)";

ObjectSet objects_of(const std::string& more = "") {
  ObjectSet objects;
  const Parsed parsed = parse(kScene + more, "scene.yaml", "shop");
  REQUIRE(parsed.findings.empty());
  for (const Object& object : parsed.objects) objects.put(object);
  return objects;
}

struct Seen {
  std::vector<PodPtr> pods;
  Findings findings;
};
Seen seen_by(const char* node, const ObjectSet& objects) {
  Seen seen;
  PublishedPods published;
  for (const PodPtr& pod : published.rebuild(objects, node)) {
    if (published.is_believed(pod)) seen.pods.push_back(pod);
  }
  seen.findings = published.findings();
  return seen;
}

std::string slice_on(const char* node) {
  return fmt::format(R"(---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s, labels: {{kubernetes.io/service-name: backend}}}}
addressType: IPv4
endpoints: [{{addresses: [10.2.0.1], nodeName: {}}}]
)",
                     node);
}

}  // namespace

TEST_CASE("what another node publishes is a captured pod there, as long as its namespace is in the mesh") {
  const ObjectSet objects = objects_of(slice_on("node-b"));
  const Seen seen = seen_by("node-a", objects);
  REQUIRE(seen.pods.size() == 1);
  CHECK(seen.pods[0]->node == "node-b");
  CHECK(seen.findings.empty());

  Books books;
  const CompiledMesh compiled = Compiler("node-a", books).compile(objects);
  REQUIRE(compiled.mesh.workloads_size() == 1);
  CHECK(compiled.mesh.workloads(0).captured());
  CHECK_FALSE(compiled.mesh.workloads(0).local());
  CHECK(compiled.plan.pods.empty());

  Books others;
  ObjectSet without = objects;
  without.put(Namespace{.meta = {.name = {"", "shop"}}});
  CHECK_FALSE(Compiler("node-a", others).compile(without).mesh.workloads(0).captured());
}

TEST_CASE("what a node published itself in a former life does not count for it") {
  CHECK(seen_by("node-b", objects_of()).pods.empty());
}

TEST_CASE("a pod object knows better than what is published of it") {
  const ObjectSet objects = objects_of("---\napiVersion: v1\nkind: Pod\nmetadata: {name: server}\n");
  CHECK(seen_by("node-a", objects).pods.empty());
}

TEST_CASE("a node that claims an address which an EndpointSlice has elsewhere is not believed") {
  const ObjectSet objects = objects_of(slice_on("node-c"));
  const Seen seen = seen_by("node-a", objects);
  CHECK(seen.pods.empty());
  REQUIRE(seen.findings.size() == 1);
  CHECK(text_of(seen.findings[0]) ==
        "scene.yaml:6: NodeWorkloads node-b-0 spec.workloads: Pod shop/server on node node-b is not believed: "
        "10.2.0.1 is on node node-c by its EndpointSlice");
}

TEST_CASE("a node that claims the address of a Service is not believed") {
  const ObjectSet objects = objects_of(
      "---\napiVersion: v1\nkind: Service\nmetadata: {name: bank}\nspec: {clusterIP: 10.2.0.1, ports: [{port: 80}]}\n");
  CHECK(seen_by("node-a", objects).pods.empty());
}

TEST_CASE("a pod of this node keeps its address against what another node publishes") {
  const ObjectSet objects = objects_of(R"(---
apiVersion: v1
kind: Pod
metadata: {name: mine, uid: uid-mine, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {leat.dev/netns: /run/netns/mine}}
spec: {nodeName: node-a}
status: {phase: Running, podIP: 10.2.0.1}
)");
  Books books;
  const CompiledMesh compiled = Compiler("node-a", books).compile(objects);
  REQUIRE(compiled.mesh.workloads_size() == 1);
  CHECK(compiled.mesh.workloads(0).uid() == "uid-mine");
  CHECK(compiled.findings.size() == 1);
}
