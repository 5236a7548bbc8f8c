#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <set>

#include "field.h"

namespace leat::proxy {

TEST_CASE("every algorithm offers each backend once, then nothing") {
  for (const auto algorithm : {v1::LB_LEAST_REQUEST, v1::LB_ROUND_ROBIN, v1::LB_RANDOM}) {
    Field field(algorithm, {1, 5, 1, 9});
    for (int round = 0; round < 100; ++round) {
      Candidates candidates = field.candidates();
      std::set<const Backend*> seen;
      while (const Backend* backend = candidates.next()) CHECK(seen.insert(backend).second);
      CHECK(seen.size() == 4);
      CHECK(candidates.next() == nullptr);
    }
  }
}

TEST_CASE("a service without backends offers nothing") {
  Field field(v1::LB_LEAST_REQUEST, {});
  CHECK(field.first() == nullptr);
}

TEST_CASE("round robin goes round in order, and a heavy backend's turns are spread") {
  Field equal(v1::LB_ROUND_ROBIN, {1, 1, 1});
  std::string order;
  for (int i = 0; i < 7; ++i) order += static_cast<char>('a' + equal.index(equal.first()));
  CHECK(order == "abcabca");

  Field weighted(v1::LB_ROUND_ROBIN, {5, 1, 1});
  order.clear();
  for (int i = 0; i < 7; ++i) order += static_cast<char>('a' + weighted.index(weighted.first()));
  CHECK(order == "aabacaa");
}

TEST_CASE("random follows the weights") {
  Field field(v1::LB_RANDOM, {1, 2, 7});
  std::vector<int> hits(3);
  for (int i = 0; i < 20'000; ++i) ++hits[field.index(field.first())];
  CHECK(hits[0] == doctest::Approx(2'000).epsilon(0.1));
  CHECK(hits[1] == doctest::Approx(4'000).epsilon(0.1));
  CHECK(hits[2] == doctest::Approx(14'000).epsilon(0.1));
}

TEST_CASE("least request keeps open connections level where random does not") {
  // Connections come and go for ever; each backend's peak of open connections tells how level the choice is.
  const auto peak_spread = [](v1::LoadBalancing algorithm) {
    Field field(algorithm, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
    std::deque<Balancer::Use> open;
    uint32_t worst = 0;
    for (int i = 0; i < 20'000; ++i) {
      open.push_back(field.balancer.use(field.first()->target));
      if (open.size() > 500) open.pop_front();
      for (const Backend& backend : field.backends())
        worst = std::max(worst, field.balancer.open_connections(backend.target));
    }
    return worst;
  };
  CHECK(peak_spread(v1::LB_LEAST_REQUEST) <= 56);  // 50 is perfect
  CHECK(peak_spread(v1::LB_RANDOM) >= 65);
}

TEST_CASE("least request sends slow backends fewer connections") {
  Field field(v1::LB_LEAST_REQUEST, {1, 1, 1});
  std::vector<std::pair<int, Balancer::Use>> open;  // ends at step, use
  std::vector<int> hits(3);
  for (int step = 0; step < 5'000; ++step) {
    std::erase_if(open, [&](const auto& entry) { return entry.first <= step; });
    const Backend* backend = field.first();
    const size_t index = field.index(backend);
    ++hits[index];
    open.emplace_back(step + (index == 0 ? 100 : 10), field.balancer.use(backend->target));
  }
  CHECK(hits[0] * 4 < hits[1]);
  CHECK(hits[0] > 0);
}

TEST_CASE("least request gives open connections by weight") {
  Field field(v1::LB_LEAST_REQUEST, {1, 3});
  std::vector<Balancer::Use> open;
  for (int i = 0; i < 400; ++i) open.push_back(field.balancer.use(field.first()->target));
  CHECK(field.balancer.open_connections(field.backends()[0].target) == doctest::Approx(100).epsilon(0.1));
}

TEST_CASE("a backend that failed is left out for a while, then comes back") {
  Field field(v1::LB_ROUND_ROBIN, {1, 1});
  const SocketAddress failed = field.backends()[0].target;
  field.balancer.failed(failed, field.now);
  for (int i = 0; i < 10; ++i) CHECK(field.first()->target != failed);
  field.now += limits::kEjection;
  CHECK((field.first()->target == failed) != (field.first()->target == failed));  // one turn of two
}

TEST_CASE("failures in a row keep a backend out longer, a success ends the row") {
  Field field(v1::LB_RANDOM, {1, 1});
  const SocketAddress target = field.backends()[0].target;
  field.balancer.failed(target, field.now);
  field.balancer.failed(target, field.now);
  CHECK(field.balancer.ejected(target, field.now + limits::kEjection));
  CHECK(!field.balancer.ejected(target, field.now + 2 * limits::kEjection));
  field.balancer.succeeded(target);
  field.balancer.failed(target, field.now);
  CHECK(!field.balancer.ejected(target, field.now + limits::kEjection));
}

TEST_CASE("where all backends failed, all are offered all the same") {
  Field field(v1::LB_LEAST_REQUEST, {1, 1, 1});
  for (const Backend& backend : field.backends()) field.balancer.failed(backend.target, field.now);
  Candidates candidates = field.candidates();
  int offered = 0;
  while (candidates.next()) ++offered;
  CHECK(offered == 3);
}

TEST_CASE("remote-only candidates stop at the remote backends") {
  Field field(v1::LB_LEAST_REQUEST, {1, 1, 1});
  field.make_local(1);
  field.make_local(2);
  field.update();
  Candidates candidates = field.candidates({}, /*remote_only=*/true);
  const Backend* only = candidates.next();
  REQUIRE(only);
  CHECK(field.index(only) == 0);
  CHECK(candidates.next() == nullptr);
}

TEST_CASE("a backend in use is not forgotten, an idle one is") {
  Field field(v1::LB_LEAST_REQUEST, {1, 1});
  const SocketAddress target = field.backends()[0].target;
  {
    const Balancer::Use use = field.balancer.use(target);
    field.balancer.forget_idle(field.now);
    CHECK(field.balancer.open_connections(target) == 1);
  }
  field.balancer.failed(target, field.now);
  field.balancer.forget_idle(field.now);
  CHECK(field.balancer.ejected(target, field.now));
  field.balancer.forget_idle(field.now + limits::kEjection);
  CHECK(!field.balancer.ejected(target, field.now));
}

TEST_CASE("round robin over one subset does not move that over another") {
  Field field(v1::LB_ROUND_ROBIN, {1, 1, 1});
  field.message.add_subsets()->set_name("canary");
  for (int i = 0; i < 2; ++i) field.message.mutable_endpoints(i)->add_subsets(0);
  field.update();
  const ServiceRef service = field.service();
  std::set<const Backend*> seen;
  for (int round = 0; round < 3; ++round) {
    seen.insert(field.first());
    field.balancer.candidates(*service, *service->find_port(80, false, "canary"), false, field.now).next();
  }
  CHECK(seen.size() == 3);
}

}  // namespace leat::proxy
