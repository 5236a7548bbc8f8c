// bench_model: what a change of the model costs where the cluster is big: from the objects to what the workers act on.
//   bench_model [options of Google Benchmark]      (10,000 Services of ten pods each, on a hundred nodes)
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>

#include <string>
#include <vector>

#include "common/check.h"
#include "control/compile.h"
#include "control/delta.h"
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

size_t allocated() { return mallinfo2().uordblks; }
double megabytes(size_t bytes) { return static_cast<double>(bytes) / 1e6; }

struct Scene {
  ObjectSet objects = big_cluster();
  Books books;
  Compiler compiler{"node-7", books};
  CompiledMesh compiled = compiler.compile(objects);

  // The readiness of one endpoint goes to and fro.
  CompiledMesh edit() {
    EndpointSlice slice = *objects.find<EndpointSlice>({"shop", "service-5000-x"});
    slice.endpoints[3].ready ^= true;
    objects.put(std::move(slice));
    return compiler.compile(objects);
  }
};

Scene& scene() {
  static Scene scene;
  return scene;
}

void compile_after_edit(benchmark::State& state) {
  for (auto _ : state) {
    CompiledMesh next = scene().edit();
    LEAT_CHECK(next.mesh.services_size() == kServices, "every service compiles");
    scene().compiled = std::move(next);
  }
}
BENCHMARK(compile_after_edit)->Unit(benchmark::kMillisecond);

void compile_and_diff_after_edit(benchmark::State& state) {
  for (auto _ : state) {
    CompiledMesh next = scene().edit();
    const v1::MeshChange change = diff(scene().compiled.mesh, next.mesh);
    LEAT_CHECK(change.services_size() == 1 && change.workloads_size() == 0, "one edit changes one service");
    scene().compiled = std::move(next);
  }
}
BENCHMARK(compile_and_diff_after_edit)->Unit(benchmark::kMillisecond);

void apply_change_in_proxy(benchmark::State& state) {
  std::vector<std::string> problems;
  const size_t before = allocated();
  proxy::MeshRef mesh = proxy::Mesh::build(scene().compiled.mesh, &problems);
  state.counters["model_mb"] = megabytes(allocated() - before);
  v1::MeshChange change;
  *change.add_services() = scene().compiled.mesh.services(kServices / 2);
  for (auto _ : state) mesh = proxy::Mesh::apply(*mesh, change, &problems);
  LEAT_CHECK(problems.empty(), "the model is valid");
}
BENCHMARK(apply_change_in_proxy)->Unit(benchmark::kMillisecond);

void build_scene(benchmark::State& state) {
  for (auto _ : state) {
    const size_t before = allocated();
    const Scene fresh;
    state.counters["agent_mb"] = megabytes(allocated() - before);
  }
}
BENCHMARK(build_scene)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace

BENCHMARK_MAIN();
