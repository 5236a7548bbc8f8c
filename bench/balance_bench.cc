// What the choice of an endpoint costs, without sockets: of 3, 100 and 1,000 endpoints of one port, some of them with
// requests under way; by each algorithm, and, as `request`, with all that the balancer does for a request.
#include <benchmark/benchmark.h>

#include <vector>

#include "common/check.h"
#include "userspace-proxy/balance/balancer.h"

namespace {

using namespace leat;
using namespace leat::proxy;

MeshRef mesh_of(v1::LoadBalancing algorithm, int endpoints) {
  v1::MeshChange change;
  v1::Service& service = *change.add_services();
  service.set_namespace_("shop");
  service.set_name("backend");
  service.add_ports()->set_port(80);
  if (algorithm != v1::LB_LEAST_REQUEST) {  // which holds where no object says anything
    service.mutable_ports(0)->set_policy(1);
    service.add_policies()->set_load_balancing(algorithm);
  }
  for (int number = 0; number < endpoints; ++number) {
    v1::Endpoint& endpoint = *service.add_endpoints();
    endpoint.set_address(IpAddress::v4(0x0a000001 + static_cast<uint32_t>(number)).wire());
    endpoint.set_ready(true);
    endpoint.set_weight(1);
    endpoint.add_ports()->set_service_port(80);
    endpoint.mutable_ports(0)->set_target_port(8080);
  }
  std::vector<std::string> problems;
  MeshRef mesh = Mesh::apply(Mesh(), change, &problems);
  LEAT_CHECK(problems.empty(), "a good Service");
  return mesh;
}

struct Balanced {
  MeshRef mesh;
  ServiceRef service = mesh->service("shop/backend");
  const Service::Port& port = *service->find_port(80, false);
  Balancer balancer{42};
  Clock::time_point now{std::chrono::hours(1)};
  std::vector<Balancer::Use> open;

  Balanced(v1::LoadBalancing algorithm, int endpoints) : mesh(mesh_of(algorithm, endpoints)) {
    for (int i = 0; i < 64; ++i) {  // 64 requests under way
      Candidates candidates = balancer.candidates(*service, port, false, now);
      open.push_back(balancer.use(*service, port, *candidates.next(), now));
    }
  }
};

void pick(benchmark::State& state, v1::LoadBalancing algorithm) {
  Balanced balanced(algorithm, static_cast<int>(state.range(0)));
  for (auto _ : state) {
    Candidates candidates = balanced.balancer.candidates(*balanced.service, balanced.port, false, balanced.now);
    benchmark::DoNotOptimize(candidates.next());
  }
}

void request(benchmark::State& state) {
  Balanced balanced(v1::LB_LEAST_REQUEST, static_cast<int>(state.range(0)));
  for (auto _ : state) {
    Candidates candidates = balanced.balancer.candidates(*balanced.service, balanced.port, false, balanced.now);
    const Backend* backend = candidates.next();
    Balancer::Use use = balanced.balancer.use(*balanced.service, balanced.port, *backend, balanced.now);
    balanced.balancer.succeeded(backend->target, use, balanced.now);
    balanced.balancer.answered(use, 200, balanced.now);
  }
}

#define FOR_SIZES Arg(3)->Arg(100)->Arg(1000)
BENCHMARK_CAPTURE(pick, least_request, v1::LB_LEAST_REQUEST)->FOR_SIZES;
BENCHMARK_CAPTURE(pick, round_robin, v1::LB_ROUND_ROBIN)->FOR_SIZES;
BENCHMARK_CAPTURE(pick, random, v1::LB_RANDOM)->FOR_SIZES;
BENCHMARK_CAPTURE(pick, peak_ewma, v1::LB_PEAK_EWMA)->FOR_SIZES;
BENCHMARK(request)->FOR_SIZES;

}  // namespace

BENCHMARK_MAIN();
