#include "userspace-proxy/balance/admission.h"

#include <doctest/doctest.h>

#include <thread>

#include "field.h"

namespace leat::proxy {
namespace {

v1::TrafficPolicy limited(uint32_t connections) {
  v1::TrafficPolicy policy;
  policy.mutable_limits()->set_max_connections(connections);
  return policy;
}

}  // namespace

TEST_CASE("there are so many places and no more, and what is given back can be taken again") {
  Field field(limited(2), {1});
  std::optional<Place> first = Place::take(field.port(), Limit::kConnections);
  std::optional<Place> second = Place::take(field.port(), Limit::kConnections);
  CHECK((first && second));
  CHECK_FALSE(Place::take_now(field.port(), Limit::kConnections));
  CHECK(field.port().live->state.refused[static_cast<size_t>(Limit::kConnections)] == 1);
  second.reset();
  CHECK(Place::take(field.port(), Limit::kConnections));
  Place moved = std::move(*first);
  first.reset();
  CHECK(field.port().live->state.connections.value() == 1);
}

TEST_CASE("without a bound nothing is counted, and each bound is its own") {
  Field field(limited(1), {1});
  for (int i = 0; i < 10; ++i) CHECK(Place::take(field.port(), Limit::kRequests));
  CHECK(field.port().live->state.requests.value() == 0);
  Field free(v1::LB_RANDOM, {1});
  CHECK(Place::take(free.port(), Limit::kConnections));
}

TEST_CASE("an edit keeps the count of what is open") {
  Field field(limited(2), {1});
  const std::optional<Place> held = Place::take(field.port(), Limit::kConnections);
  field.message.mutable_policies(0)->mutable_limits()->set_max_connections(1);
  field.add(1);
  field.update();
  CHECK_FALSE(Place::take(field.port(), Limit::kConnections));
}

TEST_CASE("the end of a connection wakes those who wait, once") {
  Field field(limited(1), {1});
  std::optional<Place> held = Place::take(field.port(), Limit::kConnections);
  int woken = 0;
  field.port().live->state.freed.add([&] { ++woken; });
  held.reset();
  CHECK(woken == 1);
  held = Place::take(field.port(), Limit::kConnections);
  held.reset();
  CHECK(woken == 1);
}

TEST_CASE("workers that race for places never have more than there are") {
  Field field(limited(3), {1});
  const ServiceRef service = field.service();
  const Service::Port& port = *service->find_port(80, false);
  std::atomic<uint32_t> most{0};
  std::atomic<uint32_t> now{0};
  const auto race = [&] {
    for (int i = 0; i < 20'000; ++i) {
      const std::optional<Place> place = Place::take(port, Limit::kConnections);
      if (!place) continue;
      const uint32_t open = ++now;
      for (uint32_t seen = most; open > seen && !most.compare_exchange_weak(seen, open);) {
      }
      --now;
    }
  };
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i) workers.emplace_back(race);
  for (std::thread& worker : workers) worker.join();
  CHECK(most <= 3);
  CHECK(port.live->state.connections.value() == 0);
}

}  // namespace leat::proxy
