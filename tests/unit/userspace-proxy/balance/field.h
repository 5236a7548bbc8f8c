// A Service for the balancer's tests: one port with so many backends, a policy, and a clock that the test moves.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "userspace-proxy/balance/balancer.h"

namespace leat::proxy {

struct Field {
  v1::Service message;
  std::vector<v1::Workload> workloads;
  MeshRef mesh;
  Clock::time_point now = Clock::time_point(std::chrono::hours(1));
  Balancer balancer{42};

  explicit Field(const v1::TrafficPolicy& policy, const std::vector<uint32_t>& weights) {
    message.set_namespace_("shop");
    message.set_name("backend");
    message.add_ports()->set_port(80);
    message.mutable_ports(0)->set_policy(1);
    *message.add_policies() = policy;
    for (const uint32_t weight : weights) add(weight);
    update();
  }
  Field(v1::LoadBalancing algorithm, const std::vector<uint32_t>& weights) : Field(of(algorithm), weights) {}

  static v1::TrafficPolicy of(v1::LoadBalancing algorithm) {
    v1::TrafficPolicy policy;
    policy.set_load_balancing(algorithm);
    return policy;
  }

  // Backend number N of the message is 10.0.0.N+1.
  void add(uint32_t weight) {
    v1::Endpoint& endpoint = *message.add_endpoints();
    endpoint.set_address(IpAddress::v4(0x0a000000 + static_cast<uint32_t>(message.endpoints_size())).wire());
    endpoint.set_ready(true);
    endpoint.set_weight(weight);
    v1::EndpointPort& port = *endpoint.add_ports();
    port.set_service_port(80);
    port.set_target_port(8080);
  }
  // In a captured pod of this node: the kernel could join it.
  void make_local(int number) {
    v1::Workload& pod = workloads.emplace_back();
    pod.set_uid("pod-" + std::to_string(number));
    pod.set_local(true);
    pod.set_captured(true);
    message.mutable_endpoints(number)->set_workload_uid(pod.uid());
  }
  // The next generation of the model, from the message as it is now.
  void update() {
    v1::MeshChange change;
    *change.add_services() = message;
    change.mutable_workloads()->Assign(workloads.begin(), workloads.end());
    std::vector<std::string> problems;
    mesh = Mesh::apply(mesh ? *mesh : Mesh(), change, &problems);
    CHECK(problems.empty());
  }

  [[nodiscard]] ServiceRef service() const { return mesh->service("shop/backend"); }
  [[nodiscard]] const Service::Port& port() const { return *service()->find_port(80, false); }
  [[nodiscard]] const std::vector<Backend>& backends() const { return port().backends; }
  Candidates candidates(std::optional<uint64_t> hash = std::nullopt, bool remote_only = false) {
    return balancer.candidates(*service(), port(), remote_only, now, hash);
  }
  const Backend* first(std::optional<uint64_t> hash = std::nullopt) { return candidates(hash).next(); }
  // Which one of the message it is.
  static size_t index(const Backend* backend) {
    return static_cast<size_t>(static_cast<unsigned char>(backend->target.ip.wire()[3])) - 1;
  }
  [[nodiscard]] const Backend& backend(size_t number) const {
    return *std::ranges::find_if(backends(), [&](const Backend& each) { return index(&each) == number; });
  }
  Balancer::Use use(const Backend& backend) { return balancer.use(*service(), port(), backend, now); }

  // How many of so many first choices go where.
  std::vector<int> hits(int count) {
    std::vector<int> each(static_cast<size_t>(message.endpoints_size()));
    for (int i = 0; i < count; ++i) ++each[index(first())];
    return each;
  }
};

}  // namespace leat::proxy
