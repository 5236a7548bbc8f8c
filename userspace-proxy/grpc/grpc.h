// userspace-proxy/grpc: what a gRPC call says beside HTTP/2 (grpc/grpc, doc/PROTOCOL-HTTP2.md): its deadline, its
// status, and what HTTP's statuses and HTTP/2's resets mean to its client. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "userspace-proxy/http1/fields.h"

namespace leat::grpc {

enum class Status : uint8_t {
  kOk,
  kCancelled,
  kUnknown,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kResourceExhausted,
  kFailedPrecondition,
  kAborted,
  kOutOfRange,
  kUnimplemented,
  kInternal,
  kUnavailable,
  kDataLoss,
  kUnauthenticated,
};
inline constexpr uint8_t kStatuses = 17;

// Whether a message with these fields is a gRPC call or its response: content-type application/grpc, with a suffix or
// without. (gRPC-Web has a type of its own, and its trailers in its body.)
bool is_grpc(const http1::Fields& fields);

// The value of grpc-status, in a head or in trailers; nothing where there is none, or none that is known.
std::optional<Status> status_of(const http1::Fields& fields);

// The value of grpc-timeout: one to eight digits and a unit.
std::optional<std::chrono::nanoseconds> parse_timeout(std::string_view text);
// Never more than `timeout`, and at least one nanosecond; in the finest unit that has room for it.
std::string format_timeout(std::chrono::nanoseconds timeout);

// What a client makes of a response that is not gRPC.
Status status_of_http(uint16_t status);
// What a stream that was reset means (RFC 9113, section 7).
Status status_of_reset(uint32_t code);

// As grpc-message carries it.
std::string encode_message(std::string_view text);

}  // namespace leat::grpc
