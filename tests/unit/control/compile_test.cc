// What a golden file can't show: one compilation after another.
#include "control/compile.h"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include "control/parse.h"

namespace leat::control {
namespace {

constexpr char kNamespace[] =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {leat.dev/mesh: enabled}}\n";

std::string pod(const std::string& name, const std::string& address, const std::string& node = "node-a") {
  return fmt::format(
      "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {0}, namespace: shop, labels: {{app: {0}}}, annotations: "
      "{{leat.dev/netns: /n/{0}}}}}\n"
      "spec: {{nodeName: {2}}}\nstatus: {{podIP: {1}}}\n",
      name, address, node);
}

ObjectSet objects_of(const std::string& text) {
  ObjectSet objects;
  for (Object& object : parse(text, "test.yaml", "default").objects) objects.put(std::move(object));
  return objects;
}

const PlannedAlias* alias_of(const CompiledMesh& compiled, const char* address) {
  for (const PlannedAlias& alias : compiled.plan.aliases) {
    if (alias.address == IpAddress::parse(address)) return &alias;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a pod that goes leaves an alias that only decodes, and finds it again") {
  Books books;
  Compiler compiler("node-a", books);
  const uint32_t id = alias_of(compiler.compile(objects_of(kNamespace + pod("a", "10.0.0.1"))), "10.0.0.1")->id;

  const CompiledMesh gone = compiler.compile(objects_of(kNamespace + pod("b", "10.0.0.2")));
  REQUIRE(alias_of(gone, "10.0.0.1") != nullptr);
  CHECK_FALSE(alias_of(gone, "10.0.0.1")->destination);
  CHECK(alias_of(gone, "10.0.0.1")->id == id);
  CHECK(alias_of(gone, "10.0.0.2")->id != id);

  const CompiledMesh back = compiler.compile(objects_of(kNamespace + pod("a", "10.0.0.1")));
  CHECK(alias_of(back, "10.0.0.1")->id == id);
  CHECK(alias_of(back, "10.0.0.1")->destination);
}

TEST_CASE("ids and indexes are the same after a restart of the agent") {
  const ObjectSet objects = objects_of(kNamespace + pod("a", "10.0.0.1") + pod("b", "10.0.0.2"));
  Books books;
  (void)Compiler("node-a", books).compile(objects_of(kNamespace + pod("b", "10.0.0.2")));
  const CompiledMesh before = Compiler("node-a", books).compile(objects);
  Books restored{*AliasBook::load(books.aliases.save()), *PodSlots::load(books.pods.save())};
  const CompiledMesh after = Compiler("node-a", restored).compile(objects);
  CHECK(before.mesh.DebugString() == after.mesh.DebugString());
}

TEST_CASE("an unchanged set of objects compiles to the same model, without a word to the stores") {
  const ObjectSet objects = objects_of(kNamespace + pod("a", "10.0.0.1"));
  Books books;
  Compiler compiler("node-a", books);
  const CompiledMesh first = compiler.compile(objects);
  const uint64_t version = books.aliases.version();
  CHECK(compiler.compile(objects).mesh.DebugString() == first.mesh.DebugString());
  CHECK(books.aliases.version() == version);
}

TEST_CASE("opting out by label takes the pod out of the plan, and keeps it in the model") {
  Books books;
  Compiler compiler("node-a", books);
  std::string text = kNamespace + pod("a", "10.0.0.1");
  CHECK(compiler.compile(objects_of(text)).plan.pods.size() == 1);
  text.replace(text.find("app: a"), 6, "leat.dev/mesh: disabled");
  const CompiledMesh out = compiler.compile(objects_of(text));
  CHECK(out.plan.pods.empty());
  REQUIRE(out.mesh.workloads_size() == 1);
  CHECK_FALSE(out.mesh.workloads(0).captured());
  CHECK(out.local_pods.at(0).reason == "label leat.dev/mesh: disabled on the pod");
}

TEST_CASE("while no endpoint is ready, those that go away but still serve are used") {
  const auto compile = [](const char* other_ready) {
    Books books;
    const std::string slice = fmt::format(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: shop}}\nspec: {{clusterIP: 10.96.0.1, "
        "ports: [{{port: 80}}]}}\n"
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s1, namespace: shop, labels: "
        "{{kubernetes.io/service-name: s}}}}\n"
        "ports: [{{port: 80}}]\nendpoints:\n"
        "- {{addresses: [10.0.0.1], conditions: {{ready: false, serving: true, terminating: true}}}}\n"
        "- {{addresses: [10.0.0.2], conditions: {{ready: {}}}}}\n",
        other_ready);
    return Compiler("node-a", books)
        .compile(objects_of(kNamespace + pod("a", "10.0.0.1") + pod("b", "10.0.0.2") + slice));
  };
  const v1::Service healthy = compile("true").mesh.services(0);
  CHECK_FALSE(healthy.endpoints(0).ready());
  CHECK(healthy.endpoints(1).ready());
  const v1::Service last_resort = compile("false").mesh.services(0);
  CHECK(last_resort.endpoints(0).ready());
  CHECK_FALSE(last_resort.endpoints(1).ready());
}

TEST_CASE("a node takes at most as many pods as the capture maps hold; the next one is named and left out") {
  std::string text = kNamespace;
  for (uint32_t i = 0; i <= PodSlots::kSlots; ++i)
    text += pod(fmt::format("p{:04}", i), fmt::format("10.0.{}.{}", i / 200, i % 200 + 1));
  Books books;
  const CompiledMesh compiled = Compiler("node-a", books).compile(objects_of(text));
  CHECK(compiled.plan.pods.size() == PodSlots::kSlots);
  REQUIRE(compiled.findings.size() == 1);
  CHECK(compiled.findings[0].object() == "Pod shop/p1024");
}

}  // namespace leat::control
