#include "userspace-proxy/resilience/retry_budget.h"

#include <algorithm>

namespace leat::proxy {

RetryBudgets::Use RetryBudgets::request(uint64_t service, const RetryBudget& budget, Clock::time_point now) {
  Count& requests = load_of(service, budget, now).requests;
  ++requests.begun;
  return Use(requests.now);
}

RetryBudgets::Use RetryBudgets::retry(uint64_t service, const RetryBudget& budget, Clock::time_point now) {
  Load& load = load_of(service, budget, now);
  // What was begun within the last window's length, as if the one before had had its requests evenly.
  const double gone = budget.window.count() > 0 ? std::chrono::duration<double>(now - load.since) / budget.window : 1;
  const auto of_late = [&](const Count& count) { return count.begun + count.begun_in_last * std::max(1 - gone, 0.0); };
  const bool within = budget.window.count() > 0 ? of_late(load.retries) + 1 <= budget.share * of_late(load.requests)
                                                : load.retries.now + 1 <= budget.share * load.requests.now;
  if (load.retries.now >= budget.most || (!within && load.retries.now >= budget.always)) {
    ++refused_;
    return {};
  }
  ++retries_;
  ++load.retries.begun;
  return Use(load.retries.now);
}

void RetryBudgets::forget_idle(Clock::time_point now) {
  std::erase_if(loads_, [&](const auto& entry) {
    const Load& load = entry.second;
    return load.requests.now == 0 && load.retries.now == 0 && now - load.since > limits::kRetryWindowMax;
  });
}

RetryBudgets::Load& RetryBudgets::load_of(uint64_t service, const RetryBudget& budget, Clock::time_point now) {
  Load& load = loads_[service];
  if (now - load.since < budget.window) return load;
  const bool next = now - load.since < 2 * budget.window;  // else nothing was begun in the one before
  for (Count* count : {&load.requests, &load.retries}) count->begun_in_last = next ? count->begun : 0, count->begun = 0;
  load.since = next ? load.since + budget.window : now;
  return load;
}

}  // namespace leat::proxy
