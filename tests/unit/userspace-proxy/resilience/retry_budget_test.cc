#include "userspace-proxy/resilience/retry_budget.h"

#include <doctest/doctest.h>

#include <vector>

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;
constexpr Clock::time_point kStart{1h};
constexpr uint64_t kShop = 7;

RetryBudget budget(double percent, uint32_t always, std::chrono::milliseconds window) {
  return {.share = percent / 100, .always = always, .window = window};
}

}  // namespace

TEST_CASE("a service without traffic may retry the minimum at once, and again when those are over") {
  RetryBudgets budgets;
  std::vector<RetryBudgets::Use> uses;
  for (int i = 0; i < 3; ++i) uses.push_back(budgets.retry(kShop, {}, kStart));
  for (const auto& use : uses) CHECK(use);
  CHECK_FALSE(budgets.retry(kShop, {}, kStart));
  CHECK(budgets.retry(kShop + 1, {}, kStart));
  uses.pop_back();
  CHECK(budgets.retry(kShop, {}, kStart));
  CHECK(budgets.retries() == 5);
  CHECK(budgets.refused() == 1);
}

TEST_CASE("a burst of failures is retried whole where the last seconds had requests enough") {
  RetryBudgets budgets;
  for (int i = 0; i < 1000; ++i) static_cast<void>(budgets.request(kShop, {}, kStart));
  std::vector<RetryBudgets::Use> uses;
  for (int i = 0; i < 200; ++i) CHECK(uses.emplace_back(budgets.retry(kShop, {}, kStart + 1s)));
  CHECK_FALSE(budgets.retry(kShop, {}, kStart + 1s));
}

TEST_CASE("when everything fails for long, retries are a fifth of the requests, and a few") {
  RetryBudgets budgets;
  int retries = 0;
  constexpr int kRequests = 20'000;
  for (int i = 0; i < kRequests; ++i) {  // a thousand a second, each would be retried twice
    const auto now = kStart + i * 1ms;
    const auto request = budgets.request(kShop, {}, now);
    for (int attempt = 0; attempt < 2; ++attempt) {
      std::vector<RetryBudgets::Use> busy;  // others hold the minimum
      for (int other = 0; other < 3; ++other) busy.push_back(budgets.retry(kShop, budget(0, 3, 10s), now));
      retries += static_cast<bool>(budgets.retry(kShop, {}, now));
    }
  }
  // The others' count as well.
  CHECK(retries <= kRequests * 0.21);
}

TEST_CASE("requests of long ago pay for no retry") {
  RetryBudgets budgets;
  for (int i = 0; i < 1000; ++i) static_cast<void>(budgets.request(kShop, {}, kStart));
  std::vector<RetryBudgets::Use> uses;
  for (int i = 0; i < 3; ++i) uses.push_back(budgets.retry(kShop, {}, kStart + 25s));
  CHECK_FALSE(budgets.retry(kShop, {}, kStart + 25s));
}

TEST_CASE("what a window had fades while the next one fills") {
  RetryBudgets budgets;
  for (int i = 0; i < 1000; ++i) static_cast<void>(budgets.request(kShop, {}, kStart));
  // Three quarters into the next window, a quarter of them counts: 250, and 50 retries.
  std::vector<RetryBudgets::Use> uses;
  int retries = 0;
  while (uses.emplace_back(budgets.retry(kShop, {}, kStart + 17500ms))) ++retries;
  CHECK(retries >= 49);
  CHECK(retries <= 51);
}

TEST_CASE("without a window the requests under way count, as in Envoy") {
  RetryBudgets budgets;
  const RetryBudget half = budget(50, 1, 0ms);
  std::vector<RetryBudgets::Use> requests;
  for (int i = 0; i < 8; ++i) requests.push_back(budgets.request(kShop, half, kStart));
  std::vector<RetryBudgets::Use> retries;
  for (int i = 0; i < 4; ++i) CHECK(retries.emplace_back(budgets.retry(kShop, half, kStart)));
  CHECK_FALSE(budgets.retry(kShop, half, kStart));
  requests.clear();
  retries.clear();
  CHECK(retries.emplace_back(budgets.retry(kShop, half, kStart)));
  CHECK_FALSE(budgets.retry(kShop, half, kStart));
}

TEST_CASE("a limit of retries at once holds whatever the share is") {
  RetryBudgets budgets;
  const RetryBudget two{.share = 1, .most = 2};
  for (int i = 0; i < 1000; ++i) static_cast<void>(budgets.request(kShop, two, kStart));
  std::vector<RetryBudgets::Use> uses;
  for (int i = 0; i < 2; ++i) CHECK(uses.emplace_back(budgets.retry(kShop, two, kStart)));
  CHECK_FALSE(budgets.retry(kShop, two, kStart));
}

TEST_CASE("a service is forgotten when nobody has asked it for long, and not before") {
  RetryBudgets budgets;
  const RetryBudget half = budget(50, 0, 0ms);
  auto request = budgets.request(kShop, half, kStart);
  auto other = budgets.request(kShop, half, kStart);
  budgets.forget_idle(kStart + 48h);
  CHECK(budgets.retry(kShop, half, kStart + 48h));  // they still count
}

}  // namespace leat::proxy
