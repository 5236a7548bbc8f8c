#include "userspace-proxy/resilience/retry_policy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;
using Kind = TryEnd::Kind;

RetryPolicy on(std::initializer_list<v1::RetryCondition> conditions, std::initializer_list<uint32_t> statuses = {}) {
  v1::RetryPolicy message;
  message.set_attempts(1);
  for (const auto condition : conditions) message.add_on(condition);
  for (const uint32_t status : statuses) message.add_status_codes(status);
  return RetryPolicy(message);
}

constexpr TryEnd kNotConnected{.kind = Kind::kNotConnected};
constexpr TryEnd kRefused{.kind = Kind::kRefused};
constexpr TryEnd kUnanswered{.kind = Kind::kUnanswered};
constexpr TryEnd status(uint16_t code) { return {.status = code}; }
constexpr TryEnd grpc(uint32_t code) { return {.status = 200, .grpc_status = code}; }
constexpr TryEnd kNamed{.status = 200, .named = true};
constexpr TryEnd kRateLimited{.status = 503, .rate_limited = true};

}  // namespace

TEST_CASE("where nobody says anything, what the server can't have acted on is tried again twice") {
  const RetryPolicy policy;
  CHECK(policy.attempts == 2);
  for (const bool idempotent : {true, false}) {
    CAPTURE(idempotent);
    CHECK(policy.covers(kNotConnected, idempotent));
    CHECK(policy.covers(kRefused, idempotent));
    CHECK(policy.covers(grpc(14), idempotent));
    CHECK(policy.covers(grpc(1), idempotent));
    CHECK_FALSE(policy.covers(grpc(13), idempotent));
    CHECK_FALSE(policy.covers(status(500), idempotent));
    CHECK_FALSE(policy.covers(status(502), idempotent));
    CHECK_FALSE(policy.covers(status(200), idempotent));
  }
}

TEST_CASE("where nobody says anything, a 503 and a death without an answer are tried again if that is safe") {
  const RetryPolicy policy;
  CHECK(policy.covers(status(503), true));
  CHECK(policy.covers(kUnanswered, true));
  CHECK_FALSE(policy.covers(status(503), false));
  CHECK_FALSE(policy.covers(kUnanswered, false));
}

TEST_CASE("what an object says of conditions holds for all methods, and nothing else does") {
  const RetryPolicy policy = on({v1::RETRY_5XX});
  for (const bool idempotent : {true, false}) {
    CHECK(policy.covers(status(500), idempotent));
    CHECK(policy.covers(status(599), idempotent));
    CHECK(policy.covers(kUnanswered, idempotent));
    CHECK(policy.covers(kNotConnected, idempotent));
    CHECK_FALSE(policy.covers(status(499), idempotent));
    CHECK_FALSE(policy.covers(grpc(14), idempotent));
  }
}

TEST_CASE("each condition covers what its name says and nothing beside") {
  const std::map<v1::RetryCondition, std::vector<TryEnd>> covered{
      {v1::RETRY_GATEWAY_ERROR, {status(502), status(503), status(504), kUnanswered, kNotConnected, kRefused}},
      {v1::RETRY_RESET, {kUnanswered, kNotConnected, kRefused}},
      {v1::RETRY_CONNECT_FAILURE, {kNotConnected}},
      {v1::RETRY_RESET_BEFORE_REQUEST, {kNotConnected}},
      {v1::RETRY_REFUSED_STREAM, {kRefused}},
      {v1::RETRY_RETRIABLE_4XX, {status(409)}},
      {v1::RETRY_GRPC_CANCELLED, {grpc(1)}},
      {v1::RETRY_GRPC_DEADLINE_EXCEEDED, {grpc(4)}},
      {v1::RETRY_GRPC_RESOURCE_EXHAUSTED, {grpc(8)}},
      {v1::RETRY_GRPC_INTERNAL, {grpc(13)}},
      {v1::RETRY_GRPC_UNAVAILABLE, {grpc(14)}},
      {v1::RETRY_RETRIABLE_HEADERS, {kNamed}},
      {v1::RETRY_ENVOY_RATELIMITED, {kRateLimited}},
      {v1::RETRY_5XX, {status(500), status(502), status(503), status(504), kUnanswered, kNotConnected, kRefused}},
  };
  const std::vector<TryEnd> all{kNotConnected, kRefused,    kUnanswered, status(200), status(409), status(429),
                                status(500),   status(502), status(503), status(504), grpc(0),     grpc(1),
                                grpc(4),       grpc(8),     grpc(13),    grpc(14),    kNamed,      kRateLimited};
  const auto same = [](const TryEnd& a, const TryEnd& b) {
    return a.kind == b.kind && a.status == b.status && a.grpc_status == b.grpc_status && a.named == b.named &&
           a.rate_limited == b.rate_limited;
  };
  for (const auto& [condition, ends] : covered) {
    CAPTURE(v1::RetryCondition_Name(condition));
    const RetryPolicy policy = on({condition});
    for (const TryEnd& end : all) {
      CAPTURE(end.status);
      CAPTURE(end.grpc_status.value_or(999));
      CHECK(policy.covers(end, true) == std::ranges::any_of(ends, [&](const TryEnd& one) { return same(one, end); }));
    }
  }
}

TEST_CASE("a policy says whether it needs to know more than a status") {
  CHECK(RetryPolicy().reads_grpc_status());
  CHECK(on({v1::RETRY_GRPC_INTERNAL}).reads_grpc_status());
  CHECK_FALSE(on({v1::RETRY_5XX, v1::RETRY_REFUSED_STREAM}).reads_grpc_status());
  CHECK_FALSE(RetryPolicy().reads_named_fields());
  CHECK(on({v1::RETRY_RETRIABLE_HEADERS}).reads_named_fields());
}

TEST_CASE("status codes count only with their condition, and only those that are named") {
  const RetryPolicy policy = on({v1::RETRY_STATUS_CODES}, {429, 599, 99, 600, 100'000});
  CHECK(policy.covers(status(429), false));
  CHECK(policy.covers(status(599), false));
  CHECK_FALSE(policy.covers(status(503), true));
  CHECK_FALSE(on({v1::RETRY_RESET}, {429}).covers(status(429), true));
}

TEST_CASE("a policy without conditions has the default ones, and one without attempts none") {
  v1::RetryPolicy message;
  CHECK(RetryPolicy(message).attempts == 0);
  message.set_attempts(5);
  message.set_per_try_timeout_ms(70);
  CHECK(RetryPolicy(message).attempts == 5);
  CHECK(RetryPolicy(message).try_time == 70ms);
  CHECK(RetryPolicy(message).covers(status(503), true));
  CHECK_FALSE(RetryPolicy(message).covers(status(503), false));
}

TEST_CASE("pauses double up to ten times the back-off, and lie anywhere below that") {
  RetryPolicy policy;
  policy.backoff = 100ms;
  const auto longest = [&](uint32_t retry) { return policy.pause(retry, UINT32_MAX); };
  CHECK(longest(1) > 99ms);
  CHECK(longest(1) <= 100ms);
  CHECK(longest(2) > 199ms);
  CHECK(longest(4) > 799ms);
  CHECK(longest(5) > 999ms);
  CHECK(longest(5) <= 1s);
  CHECK(longest(100) <= 1s);
  CHECK(policy.pause(3, 0) == 0ms);
  CHECK(policy.pause(3, 1u << 31) == 200ms);
}

}  // namespace leat::proxy
