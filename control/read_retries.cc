#include "control/read_retries.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace leat::control {
namespace {

// More would only be a way to keep a failing server down.
constexpr uint32_t kMaxAttempts = 100;

std::optional<uint32_t> number_of(std::string_view text) {
  uint32_t number = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (status != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

uint32_t read_attempts(const Field& field) {
  const auto text = field.text();
  if (!text) {
    field.warn("missing: 0, so that nothing is tried again, as in Istio");
    return 0;
  }
  const auto number = number_of(*text);
  if (number && *number <= kMaxAttempts) return *number;
  field.error(fmt::format("must be a whole number, 0 to {}, not '{}'; 0 is taken", kMaxAttempts, *text));
  return 0;
}

constexpr std::array<std::pair<std::string_view, v1::RetryCondition>, 14> kConditions = {{
    {"5xx", v1::RETRY_5XX},
    {"gateway-error", v1::RETRY_GATEWAY_ERROR},
    {"reset", v1::RETRY_RESET},
    {"reset-before-request", v1::RETRY_RESET_BEFORE_REQUEST},
    {"connect-failure", v1::RETRY_CONNECT_FAILURE},
    {"refused-stream", v1::RETRY_REFUSED_STREAM},
    {"retriable-4xx", v1::RETRY_RETRIABLE_4XX},
    {"retriable-headers", v1::RETRY_RETRIABLE_HEADERS},
    {"envoy-ratelimited", v1::RETRY_ENVOY_RATELIMITED},
    {"cancelled", v1::RETRY_GRPC_CANCELLED},
    {"deadline-exceeded", v1::RETRY_GRPC_DEADLINE_EXCEEDED},
    {"internal", v1::RETRY_GRPC_INTERNAL},
    {"resource-exhausted", v1::RETRY_GRPC_RESOURCE_EXHAUSTED},
    {"unavailable", v1::RETRY_GRPC_UNAVAILABLE},
}};

void read_condition(const Field& field, std::string_view word, v1::RetryPolicy& policy) {
  if (word.empty() || word == "retriable-status-codes") return;  // the numbers beside it say which
  const auto known = std::ranges::find(kConditions, word, [](const auto& condition) { return condition.first; });
  if (known != kConditions.end()) return policy.add_on(known->second);
  const auto status = number_of(word);
  if (status && *status >= 100 && *status < 600) return policy.add_status_codes(*status);
  field.error(fmt::format("'{}' is neither a condition that Leat knows nor a status, 100 to 599; ignored", word));
}

void read_conditions(const Field& field, v1::RetryPolicy& policy) {
  std::string text = field.text_or();
  std::erase(text, ' ');
  std::string_view words = text;
  while (!words.empty()) {
    const size_t end = std::min(words.find(','), words.size());
    read_condition(field, words.substr(0, end), policy);
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  if (!policy.status_codes().empty()) policy.add_on(v1::RETRY_STATUS_CODES);
  if (!text.empty() && policy.on().empty()) field.warn("names no condition; the default ones hold");
}

}  // namespace

v1::RetryPolicy read_retries(const Field& field) {
  v1::RetryPolicy policy;
  policy.set_attempts(read_attempts(field["attempts"]));
  policy.set_per_try_timeout_ms(field["perTryTimeout"].duration_ms().value_or(0));
  policy.set_backoff_ms(field["backoff"].duration_ms().value_or(0));
  policy.set_allow_same_host(!field["retryIgnorePreviousHosts"].boolean().value_or(true));
  if (field["retryRemoteLocalities"].boolean() == false)
    field["retryRemoteLocalities"].warn("a retry may leave the locality once each of its endpoints was tried");
  read_conditions(field["retryOn"], policy);
  return policy;
}

}  // namespace leat::control
