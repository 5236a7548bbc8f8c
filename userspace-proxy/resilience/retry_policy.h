// userspace-proxy/resilience: which failures of a request are worth another try, how long to wait before it, and how
// many there may be. Pure: no sockets, no clock and no dice of its own.
//
//   retry_policy.h   what a route says of retries, compiled
//   retry_budget.h   how many retries a Service bears
#pragma once

#include <bitset>
#include <chrono>
#include <cstdint>
#include <optional>

#include "leat.pb.h"

namespace leat::proxy {

// How a try ended that brought no answer which the client could be given without a second thought.
struct TryEnd {
  enum class Kind : uint8_t {
    kNotConnected,  // no byte of the request was sent
    kRefused,       // the upstream says that it has not looked at the request (HTTP/2's REFUSED_STREAM)
    kUnanswered,    // the upstream ended, or the try's time did, before a byte of a response
    kResponse,      // `status` stands
  };
  Kind kind = Kind::kResponse;
  uint16_t status = 0;
  std::optional<uint32_t> grpc_status = {};  // where the head of the response, or its trailers, have one
  bool named = false;                        // it has a field that the request calls worth another try
  bool rate_limited = false;                 // it has Envoy's word for that
};

struct RetryPolicy {
  using Conditions = uint32_t;  // a bit for each v1::RetryCondition

  // Of routes where nobody says anything: what the server can't have acted on, and gRPC's words for that, is tried
  // again, as in Istio. A request that means the same when it is sent twice (RFC 9110, section 9.2.2) is so as well
  // where the server died over it, or answered 503.
  RetryPolicy();
  // Conditions, back-off: those above where the message has none.
  explicit RetryPolicy(const v1::RetryPolicy& message);

  [[nodiscard]] bool covers(const TryEnd& end, bool idempotent) const;
  // Any of its conditions is a status of gRPC's, which may come as late as the trailers.
  [[nodiscard]] bool reads_grpc_status() const;
  [[nodiscard]] bool reads_named_fields() const;
  // Before retry number `retry`, from 1: a part of the back-off, doubled each time up to ten times, as large as
  // `random` (uniform over 32 bits) says, so that clients that failed together do not come back together.
  [[nodiscard]] std::chrono::microseconds pause(uint32_t retry, uint32_t random) const;

  uint32_t attempts;  // beyond the first
  Conditions on;
  Conditions on_if_idempotent;           // beside those
  std::bitset<500> statuses;             // of responses, from 100; for RETRY_STATUS_CODES
  std::chrono::milliseconds backoff;     // > 0
  std::chrono::milliseconds try_time{};  // of one try, up to the head of its response; 0: no bound
  bool allow_same_host = false;
};

}  // namespace leat::proxy
