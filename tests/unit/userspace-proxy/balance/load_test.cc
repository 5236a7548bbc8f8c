// Choices by what endpoints bear: slow ones, new ones.
#include <doctest/doctest.h>

#include <queue>

#include "field.h"

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;

// Requests arrive every millisecond for `seconds`; endpoint N answers after answer_ms[N]. How many each one got.
std::vector<int> simulate(Field& field, const std::vector<int>& answer_ms, int seconds) {
  struct Open {
    Clock::time_point ends;
    Balancer::Use use;
  };
  std::vector<Open> open;
  std::vector<int> hits(answer_ms.size());
  const auto end = field.now + std::chrono::seconds(seconds);
  for (; field.now < end; field.now += 1ms) {
    std::erase_if(open, [&](Open& each) {
      if (each.ends > field.now) return false;
      field.balancer.answered(each.use, 200, field.now);
      return true;
    });
    const Backend* backend = field.first();
    const size_t number = Field::index(backend);
    ++hits[number];
    open.push_back({field.now + std::chrono::milliseconds(answer_ms[number]), field.use(*backend)});
  }
  for (Open& each : open) field.balancer.answered(each.use, 200, field.now);
  return hits;
}

v1::TrafficPolicy warming(v1::LoadBalancing algorithm, double aggression = 1) {
  v1::TrafficPolicy policy = Field::of(algorithm);
  policy.mutable_warmup()->set_duration_ms(60'000);
  policy.mutable_warmup()->set_minimum_percent(10);
  policy.mutable_warmup()->set_aggression(aggression);
  return policy;
}

// The last one's share of 3,000 choices, of what an equal share would be.
double warmth_of_last(Field& field) {
  const auto hits = field.hits(3000);
  return hits.back() * static_cast<double>(hits.size()) / 3000;
}

}  // namespace

TEST_CASE("peak EWMA sends a slow endpoint less than least request does, and still tries it") {
  Field ewma(v1::LB_PEAK_EWMA, {1, 1, 1, 1});
  const auto by_time = simulate(ewma, {2, 2, 2, 200}, 30);
  Field least(v1::LB_LEAST_REQUEST, {1, 1, 1, 1});
  const auto by_open = simulate(least, {2, 2, 2, 200}, 30);
  MESSAGE("of 30,000 requests the slow one got ", by_time[3], " by time, ", by_open[3], " by open requests");
  CHECK(by_time[3] < by_open[3] / 2);
  CHECK(by_time[3] > 0);
  CHECK(by_time[0] == doctest::Approx(by_time[1]).epsilon(0.1));
}

TEST_CASE("peak EWMA comes back to an endpoint that was slow for a while") {
  Field field(v1::LB_PEAK_EWMA, {1, 1, 1, 1});
  static_cast<void>(simulate(field, {2, 2, 2, 500}, 20));
  static_cast<void>(simulate(field, {2, 2, 2, 2}, 60));
  const auto after = simulate(field, {2, 2, 2, 2}, 20);
  CHECK(after[3] > 20'000 / 4 / 2);
}

TEST_CASE("a new endpoint's share grows from the minimum to the whole over the warm-up") {
  for (const auto algorithm : {v1::LB_LEAST_REQUEST, v1::LB_ROUND_ROBIN}) {
    CAPTURE(algorithm);
    Field field(warming(algorithm), {1, 1, 1, 1});
    static_cast<void>(field.hits(100));
    field.now += 120s;  // those are warm
    field.add(1);
    field.update();
    static_cast<void>(field.hits(100));  // it is seen
    const auto begins = warmth_of_last(field);
    field.now += 30s;
    const auto half = warmth_of_last(field);
    field.now += 30s;
    const auto whole = warmth_of_last(field);
    MESSAGE("share of an equal one at 0, 30, 60 s: ", begins, " ", half, " ", whole);
    CHECK(begins > 0.05);
    CHECK(begins < 0.25);
    CHECK(half == doctest::Approx(0.55).epsilon(0.25));
    CHECK(whole == doctest::Approx(1).epsilon(0.15));
  }
}

TEST_CASE("aggression makes the share grow sooner") {
  const auto after_15s = [](double aggression) {
    Field field(warming(v1::LB_ROUND_ROBIN, aggression), {1, 1, 1, 1});
    static_cast<void>(field.hits(100));
    field.now += 120s;
    field.add(1);
    field.update();
    static_cast<void>(field.hits(100));
    field.now += 15s;
    return warmth_of_last(field);
  };
  CHECK(after_15s(2) > after_15s(1) * 1.5);  // a half instead of a quarter
}

TEST_CASE("endpoints that are all new share alike") {
  Field field(warming(v1::LB_LEAST_REQUEST), {1, 1, 1});
  for (const int hits : field.hits(3000)) CHECK(hits == doctest::Approx(1000).epsilon(0.15));
}

TEST_CASE("least request with nothing open chooses by weight") {
  Field field(v1::LB_LEAST_REQUEST, {1, 3, 1, 1, 4});
  const auto hits = field.hits(10'000);
  CHECK(hits[0] == doctest::Approx(1000).epsilon(0.15));
  CHECK(hits[1] == doctest::Approx(3000).epsilon(0.15));
  CHECK(hits[4] == doctest::Approx(4000).epsilon(0.15));
}

}  // namespace leat::proxy
