#include <doctest/doctest.h>

#include "field.h"

namespace leat::proxy {
namespace {

v1::TrafficPolicy grouped(const std::vector<uint32_t>& groups, const std::vector<uint32_t>& shares = {}) {
  v1::TrafficPolicy policy;
  for (const uint32_t group : groups) policy.mutable_groups()->add_group_of(group);
  for (const uint32_t share : shares) policy.mutable_groups()->add_shares(share);
  return policy;
}

// Shares of 10,000 choices.
std::vector<double> shares(Field& field) {
  std::vector<double> each;
  for (const int hits : field.hits(10'000)) each.push_back(hits / 10'000.0);
  return each;
}

}  // namespace

TEST_CASE("while the nearest group is well it gets everything") {
  Field field(grouped({2, 0, 1, 0, 1}), {1, 1, 1, 1, 1});
  const auto each = shares(field);
  CHECK(each[1] + each[3] == doctest::Approx(1));
  CHECK(each[1] == doctest::Approx(0.5).epsilon(0.1));
}

TEST_CASE("the next group takes over what the nearest can't carry: less than 1/1.4 of it left, and it is not all") {
  Field field(grouped({0, 0, 0, 0, 1, 1}), {1, 1, 1, 1, 1, 1});
  const auto fail = [&](size_t number) { field.balancer.failed(field.backend(number).target, field.now); };
  fail(0);  // 3 of 4 are 105 %
  auto each = shares(field);
  CHECK(each[4] + each[5] == 0);
  CHECK(each[0] == 0);
  fail(1);  // 2 of 4 are 70 %
  each = shares(field);
  CHECK(each[4] + each[5] == doctest::Approx(0.3).epsilon(0.1));
  fail(2);
  fail(3);
  each = shares(field);
  CHECK(each[4] + each[5] == doctest::Approx(1));
  field.now += limits::kEjection;
  each = shares(field);
  CHECK(each[4] + each[5] == 0);
}

TEST_CASE("a nearest group without endpoints is no group") {
  Field field(grouped({1, 0, 1}), {1, 1, 1});
  field.message.mutable_endpoints(1)->set_ready(false);
  field.update();
  const auto each = shares(field);
  CHECK(each[0] == doctest::Approx(0.5).epsilon(0.1));
  CHECK(each[1] == 0);
}

TEST_CASE("shares are those of the groups, however many endpoints they have") {
  Field field(grouped({0, 1, 1, 1, 0xffffffff}, {80, 20}), {1, 1, 1, 1, 1});
  auto each = shares(field);
  CHECK(each[0] == doctest::Approx(0.8).epsilon(0.03));
  CHECK(each[1] + each[2] + each[3] == doctest::Approx(0.2).epsilon(0.1));
  CHECK(each[4] == 0);
  field.balancer.failed(field.backend(0).target, field.now);  // then the others have it all
  each = shares(field);
  CHECK(each[1] + each[2] + each[3] == doctest::Approx(1));
}

TEST_CASE("every endpoint of every group is offered in the end, the nearest first") {
  Field field(grouped({1, 0, 2, 0}), {1, 1, 1, 1});
  Candidates candidates = field.candidates();
  std::vector<uint32_t> groups;
  while (const Backend* backend = candidates.next()) groups.push_back(backend->group);
  CHECK(groups == std::vector<uint32_t>{0, 0, 1, 2});
}

TEST_CASE("each group has a hash table of its own") {
  v1::TrafficPolicy policy = grouped({0, 1, 0, 1});
  policy.mutable_hash()->set_source_address(true);
  Field field(policy, {1, 1, 1, 1});
  for (uint64_t key = 0; key < 200; ++key) CHECK(field.first(hash_of("k", key))->group == 0);
  for (const size_t number : {0, 2}) field.balancer.failed(field.backend(number).target, field.now);
  for (uint64_t key = 0; key < 200; ++key) CHECK(field.first(hash_of("k", key))->group == 1);
}

}  // namespace leat::proxy
