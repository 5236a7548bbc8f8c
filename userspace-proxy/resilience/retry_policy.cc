#include "userspace-proxy/resilience/retry_policy.h"

#include <algorithm>

#include "userspace-proxy/limits.h"

namespace leat::proxy {
namespace {

using Conditions = RetryPolicy::Conditions;

template <typename... Condition>
constexpr Conditions bits(Condition... condition) {
  return ((Conditions{1} << condition) | ...);
}

constexpr Conditions kUnsafeNever =
    bits(v1::RETRY_CONNECT_FAILURE, v1::RETRY_REFUSED_STREAM, v1::RETRY_RESET_BEFORE_REQUEST,
         v1::RETRY_GRPC_UNAVAILABLE, v1::RETRY_GRPC_CANCELLED);
constexpr Conditions kOfIdempotent = bits(v1::RETRY_RESET, v1::RETRY_STATUS_CODES);
constexpr uint16_t kFirstStatus = 100;

// No answer at all is a 5xx to the client, so that these cover it: as in Envoy.
constexpr Conditions kNoAnswer = bits(v1::RETRY_RESET, v1::RETRY_5XX, v1::RETRY_GATEWAY_ERROR);

Conditions conditions_for_status(uint16_t status) {
  Conditions conditions = 0;
  if (status >= 500) conditions |= bits(v1::RETRY_5XX);
  if (status >= 502 && status <= 504) conditions |= bits(v1::RETRY_GATEWAY_ERROR);
  if (status == 409) conditions |= bits(v1::RETRY_RETRIABLE_4XX);
  return conditions;
}

constexpr Conditions kOfGrpc = bits(v1::RETRY_GRPC_CANCELLED, v1::RETRY_GRPC_DEADLINE_EXCEEDED, v1::RETRY_GRPC_INTERNAL,
                                    v1::RETRY_GRPC_RESOURCE_EXHAUSTED, v1::RETRY_GRPC_UNAVAILABLE);

Conditions conditions_for_grpc(uint32_t status) {
  switch (status) {
    case 1:
      return bits(v1::RETRY_GRPC_CANCELLED);
    case 4:
      return bits(v1::RETRY_GRPC_DEADLINE_EXCEEDED);
    case 8:
      return bits(v1::RETRY_GRPC_RESOURCE_EXHAUSTED);
    case 13:
      return bits(v1::RETRY_GRPC_INTERNAL);
    case 14:
      return bits(v1::RETRY_GRPC_UNAVAILABLE);
    default:
      return 0;
  }
}

}  // namespace

RetryPolicy::RetryPolicy()
    : attempts(limits::kRetries), on(kUnsafeNever), on_if_idempotent(kOfIdempotent), backoff(limits::kRetryBackoff) {
  statuses.set(503 - kFirstStatus);
}

RetryPolicy::RetryPolicy(const v1::RetryPolicy& message) : RetryPolicy() {
  attempts = message.attempts();
  try_time = std::chrono::milliseconds(message.per_try_timeout_ms());
  allow_same_host = message.allow_same_host();
  if (message.backoff_ms() > 0) backoff = std::chrono::milliseconds(message.backoff_ms());
  if (message.on().empty()) return;
  on = on_if_idempotent = 0;
  statuses.reset();
  for (const int condition : message.on()) {
    if (condition < 32) on |= bits(condition);  // a later version's may be larger
  }
  for (const uint32_t status : message.status_codes()) {
    if (status >= kFirstStatus && status - kFirstStatus < statuses.size()) statuses.set(status - kFirstStatus);
  }
}

bool RetryPolicy::covers(const TryEnd& end, bool idempotent) const {
  const Conditions wanted = on | (idempotent ? on_if_idempotent : 0);
  switch (end.kind) {
    case TryEnd::Kind::kNotConnected:
      return (wanted & (kNoAnswer | bits(v1::RETRY_CONNECT_FAILURE, v1::RETRY_RESET_BEFORE_REQUEST))) != 0;
    case TryEnd::Kind::kRefused:
      return (wanted & (kNoAnswer | bits(v1::RETRY_REFUSED_STREAM))) != 0;
    case TryEnd::Kind::kUnanswered:
      return (wanted & kNoAnswer) != 0;
    case TryEnd::Kind::kResponse:
      break;
  }
  // Who is told to come less often does not come at once again, unless he is told to: as in Envoy.
  if (end.rate_limited) return (wanted & bits(v1::RETRY_ENVOY_RATELIMITED)) != 0;
  Conditions said = conditions_for_status(end.status);
  if (end.named) said |= bits(v1::RETRY_RETRIABLE_HEADERS);
  const auto index = static_cast<size_t>(end.status - kFirstStatus);
  if (index < statuses.size() && statuses.test(index)) said |= bits(v1::RETRY_STATUS_CODES);
  if (end.grpc_status) said |= conditions_for_grpc(*end.grpc_status);
  return (wanted & said) != 0;
}

bool RetryPolicy::reads_grpc_status() const { return ((on | on_if_idempotent) & kOfGrpc) != 0; }
bool RetryPolicy::reads_named_fields() const {
  return ((on | on_if_idempotent) & bits(v1::RETRY_RETRIABLE_HEADERS)) != 0;
}

std::chrono::microseconds RetryPolicy::pause(uint32_t retry, uint32_t random) const {
  const std::chrono::microseconds base = backoff;
  const auto longest = base * std::min<int64_t>(int64_t{1} << std::min(retry - 1, 10u), limits::kRetryBackoffFactor);
  return std::chrono::microseconds(static_cast<int64_t>(static_cast<__int128>(longest.count()) * random >> 32));
}

}  // namespace leat::proxy
