#include "userspace-proxy/balance/outliers.h"

#include <algorithm>

namespace leat::proxy {
namespace {

using Counter = std::atomic<uint32_t>;
constexpr auto kRelaxed = std::memory_order_relaxed;

// Whether another one may go. The first may always: else a small service could never lose one.
bool may_eject(const Service::Port& port, const Policy::Outliers& policy, Clock::time_point now) {
  const auto out = std::ranges::count_if(port.backends, [&](const Backend& each) { return is_ejected(each, now); });
  return out == 0 || static_cast<size_t>(out + 1) * 100 <= policy.max_ejection_percent * port.backends.size();
}

// The base time for each ejection so far, less one for each interval that the endpoint was in since.
std::chrono::milliseconds ejection_time(HostHealth::State& state, const Policy::Outliers& policy,
                                        Clock::time_point now) {
  uint32_t ejections = state.ejections.load(kRelaxed);
  if (policy.interval.count() > 0 && ejections > 0) {
    const auto intervals = (now - state.out_until.get()) / policy.interval;
    ejections -= static_cast<uint32_t>(std::clamp<int64_t>(intervals, 0, ejections));
  }
  state.ejections.store(++ejections, kRelaxed);
  return std::min(policy.base_ejection * ejections, policy.max_ejection);
}

void reset(HostHealth::State& state) {
  for (Counter* counter : {&state.errors_5xx, &state.gateway_errors, &state.local_failures})
    counter->store(0, kRelaxed);
}

// One more in a row; 0 where that is below `most`, or `most` is off.
uint32_t count(Counter& counter, uint32_t most) {
  const uint32_t failures = counter.fetch_add(1, kRelaxed) + 1;
  return most != 0 && failures >= most ? failures : 0;
}

struct Cause {
  uint32_t failures = 0;  // 0: none
  std::string_view text;
};

Cause count_conduct(HostHealth::State& state, const Policy::Outliers& policy, Conduct conduct) {
  const auto answer_was = [&](bool server_error, bool gateway_error) {
    if (!server_error) state.errors_5xx.store(0, kRelaxed);
    if (!gateway_error) state.gateway_errors.store(0, kRelaxed);
  };
  switch (conduct) {
    case Conduct::kGood:
      reset(state);
      return {};
    case Conduct::kConnected:
      if (policy.split_local) state.local_failures.store(0, kRelaxed);
      return {};
    case Conduct::kServerError:
      answer_was(true, false);
      return {count(state.errors_5xx, policy.consecutive_5xx), "answers of 5xx"};
    case Conduct::kLocalFailure:
      if (policy.split_local)
        return {count(state.local_failures, policy.consecutive_local_failures), "failures to connect or answer"};
      [[fallthrough]];  // as if it had answered 503
    case Conduct::kGatewayError:
      if (const uint32_t failures = count(state.gateway_errors, policy.consecutive_gateway_errors)) {
        state.errors_5xx.fetch_add(1, kRelaxed);
        return {failures, "answers of 502, 503, 504, or none"};
      }
      return {count(state.errors_5xx, policy.consecutive_5xx), "answers of 5xx, or none"};
  }
  return {};
}

}  // namespace

Conduct conduct_of(uint16_t code, std::span<const uint16_t> error_codes) {
  if (code == 0) return Conduct::kLocalFailure;
  const bool is_error = error_codes.empty() ? code >= 500 && code < 600 : std::ranges::binary_search(error_codes, code);
  if (!is_error) return Conduct::kGood;
  return code == 502 || code == 503 || code == 504 ? Conduct::kGatewayError : Conduct::kServerError;
}

std::optional<Ejection> note(const Service& service, const Service::Port& port, const Backend& backend, Conduct conduct,
                             Clock::time_point now) {
  const Policy::Outliers& policy = *port.policy->outliers;
  HostHealth::State& state = backend.health->state;
  const Cause cause = count_conduct(state, policy, conduct);
  // Answers to requests from before the ejection still come in.
  if (cause.failures == 0 || is_ejected(backend, now) || !may_eject(port, policy, now)) return std::nullopt;
  const auto lasts = ejection_time(state, policy, now);
  reset(state);
  state.out_until.set(now + lasts);
  port.live->state.out_until.raise_to(now + lasts);
  port.live->state.ejections.fetch_add(1, kRelaxed);
  return Ejection{service, port, backend, cause.text, cause.failures, lasts};
}

}  // namespace leat::proxy
