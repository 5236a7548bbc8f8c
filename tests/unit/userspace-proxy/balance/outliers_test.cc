#include <doctest/doctest.h>

#include "field.h"

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;

v1::TrafficPolicy detecting(uint32_t consecutive_5xx = 3, uint32_t max_percent = 100) {
  v1::TrafficPolicy policy;
  v1::OutlierDetection& outliers = *policy.mutable_outliers();
  outliers.set_consecutive_5xx(consecutive_5xx);
  outliers.set_consecutive_local_failures(2);
  outliers.set_interval_ms(10'000);
  outliers.set_base_ejection_ms(30'000);
  outliers.set_max_ejection_ms(300'000);
  outliers.set_max_ejection_percent(max_percent);
  return policy;
}

void answer(Field& field, size_t number, uint16_t code, int times = 1) {
  for (int i = 0; i < times; ++i) field.balancer.answered(field.use(field.backend(number)), code, field.now);
}

bool is_out(Field& field, size_t number) { return field.hits(300)[number] == 0; }

// How many seconds it is left out from now on.
int seconds_out(Field& field, size_t number) {
  for (int seconds = 0; seconds < 1000; ++seconds, field.now += 1s) {
    if (!is_ejected(field.backend(number), field.now)) return seconds;
  }
  return -1;
}

}  // namespace

TEST_CASE("so many 5xx in a row eject an endpoint for the base time; an answer between starts the row anew") {
  Field field(detecting(), {1, 1, 1});
  answer(field, 1, 500, 2);
  answer(field, 1, 404);
  answer(field, 1, 500, 2);
  CHECK_FALSE(is_out(field, 1));
  answer(field, 1, 500);
  CHECK(is_out(field, 1));
  CHECK(seconds_out(field, 1) == 30);
  CHECK_FALSE(is_out(field, 1));
  answer(field, 1, 500, 2);
  CHECK_FALSE(is_out(field, 1));
}

TEST_CASE("gateway errors have a row of their own, in which no answer counts") {
  v1::TrafficPolicy policy = detecting(0);
  policy.mutable_outliers()->set_consecutive_gateway_errors(2);
  Field field(policy, {1, 1, 1});
  answer(field, 0, 500, 9);
  CHECK_FALSE(is_out(field, 0));
  answer(field, 0, 502);
  answer(field, 0, 500);
  answer(field, 0, 504);
  CHECK_FALSE(is_out(field, 0));
  answer(field, 0, 0);
  CHECK(is_out(field, 0));
}

TEST_CASE("dials and resets count as 503, or where they are split in a row of their own") {
  for (const bool split : {false, true}) {
    CAPTURE(split);
    v1::TrafficPolicy policy = detecting(3);
    policy.mutable_outliers()->set_split_local(split);
    Field field(policy, {1, 1, 1});
    const Balancer::Use use = field.use(field.backend(0));
    field.balancer.failed(field.backend(0).target, use, field.now);
    field.balancer.ended(use, /*by_reset=*/true, field.now);
    CHECK(is_ejected(field.backend(0), field.now) == split);  // 2, or 3
    if (!split) field.balancer.ended(use, true, field.now);
    CHECK(is_ejected(field.backend(0), field.now));
    CHECK_FALSE(is_ejected(field.backend(1), field.now));
    answer(field, 1, 503, 2);
    field.balancer.succeeded(field.backend(1).target, field.use(field.backend(1)), field.now);  // a dial: no answer yet
    answer(field, 1, 503);
    CHECK(is_ejected(field.backend(1), field.now));
  }
}

TEST_CASE("each ejection lasts longer, up to the maximum, and each interval without one takes it back") {
  Field field(detecting(1), {1, 1, 1});
  for (const int expected : {30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300}) {
    answer(field, 0, 500);
    CHECK(seconds_out(field, 0) == expected);
  }
  field.now += 90s;  // nine intervals
  answer(field, 0, 500);
  CHECK(seconds_out(field, 0) == 90);
  field.now += 1000s;
  answer(field, 0, 500);
  CHECK(seconds_out(field, 0) == 30);
}

TEST_CASE("never more than the maximum percent are out, but one always may") {
  for (const auto& [percent, expected] : {std::pair(0u, 1), {10u, 1}, {20u, 2}, {50u, 5}, {100u, 10}}) {
    CAPTURE(percent);
    Field field(detecting(1, percent), std::vector<uint32_t>(10, 1));
    for (size_t number = 0; number < 10; ++number) answer(field, number, 500, 5);
    CHECK(std::ranges::count_if(field.backends(), [&](const Backend& each) { return is_ejected(each, field.now); }) ==
          expected);
  }
}

TEST_CASE("with fewer endpoints in than the minimum percent, ejections do not count") {
  v1::TrafficPolicy policy = detecting(1);
  policy.mutable_outliers()->set_min_health_percent(60);
  Field field(policy, {1, 1, 1, 1, 1});
  answer(field, 0, 500);
  answer(field, 1, 500);
  CHECK(is_out(field, 0));  // 60 % are in
  answer(field, 2, 500);
  for (size_t number = 0; number < 5; ++number) CHECK_FALSE(is_out(field, number));
}

TEST_CASE("where all are out, all are offered all the same") {
  Field field(detecting(1), {1, 1});
  answer(field, 0, 500);
  answer(field, 1, 500);
  Candidates candidates = field.candidates();
  CHECK(candidates.next() != nullptr);
  CHECK(candidates.next() != nullptr);
  CHECK(candidates.next() == nullptr);
}

TEST_CASE("an edit of the model, and another worker, know who is out") {
  Field field(detecting(1), {1, 1, 1});
  answer(field, 2, 500);
  field.add(1);
  field.update();
  CHECK(is_out(field, 2));
  Balancer other(7);
  for (int i = 0; i < 100; ++i)
    CHECK(Field::index(other.candidates(*field.service(), field.port(), false, field.now).next()) != 2);
}

TEST_CASE("who is ejected is told once, with the cause") {
  Field field(detecting(3), {1, 1, 1});
  std::vector<std::string> told;
  field.balancer.on_ejection = [&](const Ejection& ejection) {
    told.push_back(ejection.backend.target.text() + " " + std::to_string(ejection.failures) + " " +
                   std::string(ejection.cause));
  };
  answer(field, 0, 500, 10);
  CHECK(told == std::vector<std::string>{"10.0.0.1:8080 3 answers of 5xx"});
  CHECK(field.port().live->state.ejections == 1);
}

TEST_CASE("with no outlier detection only failed dials count") {
  Field field(v1::LB_ROUND_ROBIN, {1, 1});
  answer(field, 0, 500, 100);
  CHECK_FALSE(is_out(field, 0));
}

}  // namespace leat::proxy
