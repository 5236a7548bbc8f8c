// bench_model: what a change of the model costs where the cluster is big, and what the model takes: from the objects to
// what the workers act on. 10,000 Services of ten pods each, on a hundred nodes; one Service in ten is routed.
//   bench_model [options of Google Benchmark]
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>

#include <string>
#include <vector>

#include "common/check.h"
#include "control/compile.h"
#include "control/parse.h"
#include "userspace-proxy/mesh/mesh.h"

using namespace leat;
using namespace leat::control;

namespace {

constexpr uint32_t kServices = 10'000;
constexpr uint32_t kPodsEach = 10;
constexpr uint32_t kNodes = 100;

IpAddress address(uint32_t block, uint32_t number) { return IpAddress::v4(block + number); }

Pod pod_of(uint32_t service, uint32_t index, bool ready) {
  const uint32_t number = service * kPodsEach + index;
  Pod pod;
  pod.meta.name = {"shop", fmt::format("service-{}-{}", service, index)};
  pod.meta.uid = fmt::format("00000000-0000-0000-0000-{:012}", number);
  pod.meta.labels = {{"app", fmt::format("service-{}", service)}, {"version", index < 5 ? "v1" : "v2"}};
  pod.meta.annotations = {{"leat.dev/netns", "/run/netns/pod"}};
  pod.node = fmt::format("node-{}", number % kNodes);
  pod.service_account = fmt::format("service-{}", service);
  pod.ready = ready;
  pod.addresses = {address(0x0a000000, number)};
  return pod;
}

void add_service(ObjectSet& objects, uint32_t number) {
  const std::string name = fmt::format("service-{}", number);
  Service service;
  service.meta.name = {"shop", name};
  service.vips = {address(0x0b000000, number)};
  service.ports = {{.name = "http", .port = 80, .target = {.number = 8080}}};
  service.selector = {{"app", name}};
  objects.put(service);

  EndpointSlice slice;
  slice.meta.name = {"shop", name + "-x"};
  slice.service = name;
  slice.ports = {{.name = "http", .port = 8080}};
  for (uint32_t i = 0; i < kPodsEach; ++i) {
    Pod pod = pod_of(number, i, true);
    slice.endpoints.push_back({.addresses = pod.addresses});
    objects.put(std::move(pod));
  }
  objects.put(std::move(slice));
}

ObjectSet big_cluster() {
  ObjectSet objects;
  Namespace shop;
  shop.meta.name = {"", "shop"};
  shop.meta.labels = {{"leat.dev/mesh", "enabled"}};
  objects.put(shop);
  for (uint32_t i = 0; i < kServices; ++i) add_service(objects, i);
  return objects;
}

// One VirtualService in ten Services splits its requests over the versions.
void add_routes(ObjectSet& objects, uint32_t service, uint32_t weight) {
  const std::string text = fmt::format(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: service-{0}, namespace: shop}}
spec: {{hosts: [service-{0}], http: [{{route: [{{destination: {{host: service-{0}, subset: v1}}, weight: {1}}}, {{destination: {{host: service-{0}, subset: v2}}, weight: {2}}}]}}]}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: service-{0}, namespace: shop}}
spec: {{host: service-{0}, subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]}}
)",
                                       service, weight, 100 - weight);
  for (Object& object : parse(text, "routes.yaml", "shop").objects) objects.put(std::move(object));
}

size_t allocated() { return mallinfo2().uordblks; }
double megabytes(size_t bytes) { return static_cast<double>(bytes) / 1e6; }

// The agent: its objects, and what it has compiled of them.
struct Agent {
  ObjectSet objects = big_cluster();
  Books books;
  Compiler compiler{"node-7", books};

  Agent() {
    for (uint32_t i = 0; i < kServices; i += 10) add_routes(objects, i, 90);
    compiler.update(objects);
  }

  // From the changed objects to the bytes that the proxy is sent.
  std::string update() {
    const Update update = compiler.update(objects);
    return update.mesh.SerializeAsString();
  }

  void flip_endpoint() {
    EndpointSlice slice = *objects.find<EndpointSlice>({"shop", "service-5000-x"});
    slice.endpoints[3].ready ^= true;
    objects.put(std::move(slice));
  }
  void flip_pod() {
    Pod pod = *objects.find<Pod>({"shop", "service-5000-3"});
    pod.ready = !pod.ready.value_or(true);
    objects.put(std::move(pod));
  }
  void move_weight() {
    VirtualService routes = *objects.find<VirtualService>({"shop", "service-5000"});
    for (RouteDestination& to : routes.http[0].destinations) to.weight = 100 - to.weight;
    objects.put(std::move(routes));
  }
};

Agent& agent() {
  static Agent agent;
  return agent;
}

void compile_everything(benchmark::State& state) {
  for (auto _ : state) {
    const size_t before = allocated();
    const Agent fresh;
    state.counters["agent_mb"] = megabytes(allocated() - before);
  }
}
BENCHMARK(compile_everything)->Unit(benchmark::kMillisecond)->Iterations(1);

template <void (Agent::*edit)()>
void agent_edit(benchmark::State& state) {
  size_t bytes = agent().update().size();
  for (auto _ : state) {
    (agent().*edit)();
    bytes = agent().update().size();
    LEAT_CHECK(bytes > 0, "an edit changes something");
  }
  state.counters["sent_bytes"] = static_cast<double>(bytes);
}
BENCHMARK(agent_edit<&Agent::flip_endpoint>)->Name("agent/endpoint_edit")->Unit(benchmark::kMicrosecond);
BENCHMARK(agent_edit<&Agent::flip_pod>)->Name("agent/pod_edit")->Unit(benchmark::kMicrosecond);
BENCHMARK(agent_edit<&Agent::move_weight>)->Name("agent/weight_edit")->Unit(benchmark::kMicrosecond);

// The proxy: its model, and what it makes of a change.
struct Proxy {
  std::vector<std::string> problems;
  double model_mb = 0;
  proxy::MeshRef mesh;

  Proxy() {
    v1::Mesh sent = agent().compiler.mesh();
    const size_t before = allocated();
    mesh = proxy::Mesh::build(sent, &problems);
    model_mb = megabytes(allocated() - before);
  }
};

template <void (Agent::*edit)()>
void proxy_edit(benchmark::State& state) {
  static Proxy proxy;
  state.counters["model_mb"] = proxy.model_mb;
  (agent().*edit)();
  const std::string bytes = agent().update();
  for (auto _ : state) {
    v1::MeshChange change;
    LEAT_CHECK(change.ParseFromString(bytes), "what the agent writes can be read");
    proxy.mesh = proxy::Mesh::apply(*proxy.mesh, change, &proxy.problems);
  }
  LEAT_CHECK(proxy.problems.empty(), "the model is valid");
}
BENCHMARK(proxy_edit<&Agent::flip_endpoint>)->Name("proxy/endpoint_edit")->Unit(benchmark::kMicrosecond);
BENCHMARK(proxy_edit<&Agent::flip_pod>)->Name("proxy/pod_edit")->Unit(benchmark::kMicrosecond);
BENCHMARK(proxy_edit<&Agent::move_weight>)->Name("proxy/weight_edit")->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
