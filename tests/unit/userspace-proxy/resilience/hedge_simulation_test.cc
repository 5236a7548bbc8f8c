// What hedging buys and what it costs, over simulated time: requests at a steady rate to a service of which a few
// answers are slow, and to one that is slow altogether. The budget is the real one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <queue>
#include <random>
#include <vector>

#include "userspace-proxy/resilience/retry_budget.h"

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;

struct Run {
  std::vector<double> took_ms;  // ascending
  size_t hedges = 0;
  [[nodiscard]] double quantile(double part) const {
    return took_ms[static_cast<size_t>(part * static_cast<double>(took_ms.size() - 1))];
  }
};

// 1,000 requests a second for a minute. An answer takes 10 ms in the mean, and 500 ms more with probability `slow`.
Run simulate(double slow, double hedge_after_ms) {
  constexpr int kRequests = 60'000;
  std::mt19937 random(20);
  std::exponential_distribution<double> usual(1.0 / 10);
  std::bernoulli_distribution is_slow(slow);
  const auto answer = [&] { return usual(random) + (is_slow(random) ? 500 : 0); };
  struct Later {
    Clock::time_point at;
    double first_ms;                   // when the first answer comes, after the request
    RetryBudgets::Use request, hedge;  // under way until `at`
    bool decides;                      // it is time to ask another one
    bool operator<(const Later& other) const { return at > other.at; }
  };
  RetryBudgets budgets;
  std::priority_queue<Later> later;
  Run run;
  const auto ms = [](double value) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(value));
  };
  const auto happen_until = [&](Clock::time_point time) {
    while (!later.empty() && later.top().at <= time) {
      Later now = std::move(const_cast<Later&>(later.top()));
      later.pop();
      if (!now.decides) continue;
      double took = now.first_ms;
      RetryBudgets::Use hedge = budgets.retry(1, {}, now.at);
      if (hedge) {
        ++run.hedges;
        took = std::min(took, hedge_after_ms + answer());
      }
      run.took_ms.push_back(took);
      later.push({now.at + ms(took - hedge_after_ms), 0, std::move(now.request), std::move(hedge), false});
    }
  };
  Clock::time_point now{1h};
  for (int i = 0; i < kRequests; ++i, now += 1ms) {
    happen_until(now);
    const double first = answer();
    RetryBudgets::Use request = budgets.request(1, {}, now);
    if (hedge_after_ms > 0 && first > hedge_after_ms) {
      later.push({now + ms(hedge_after_ms), first, std::move(request), {}, true});
    } else {
      run.took_ms.push_back(first);
      later.push({now + ms(first), 0, std::move(request), {}, false});
    }
  }
  happen_until(Clock::time_point::max());
  std::ranges::sort(run.took_ms);
  CHECK(run.took_ms.size() == kRequests);
  return run;
}

}  // namespace

TEST_CASE(
    "where one answer in fifty is slow, hedges take the slow ones out of the 99th percentile at 2.7 % more requests") {
  const Run plain = simulate(0.02, 0);
  const Run hedged = simulate(0.02, 50);
  CHECK(plain.quantile(0.99) > 500);
  CHECK(hedged.quantile(0.99) < 100);
  CHECK(hedged.quantile(0.999) < 150);
  // 2 % that are slow, and e^-5 of the others that take longer than 50 ms.
  const double expected = 60'000 * (0.02 + 0.98 * std::exp(-5.0));
  CHECK(std::abs(static_cast<double>(hedged.hedges) - expected) < 4 * std::sqrt(expected));
}

TEST_CASE("where all answers are slow, hedges stay within the budget's fifth of the requests") {
  const Run plain = simulate(1, 0);
  const Run hedged = simulate(1, 50);
  CHECK(hedged.hedges > 11'000);
  CHECK(hedged.hedges <= 12'000 + 60);  // and the few that are always allowed
  CHECK(plain.quantile(0.5) - hedged.quantile(0.5) < 10);
}

}  // namespace leat::proxy
