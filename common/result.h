// Expected failures as values. A failure carries a code to branch on and a sentence for a person.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace leat {

enum class ErrorCode : uint8_t {
  kInvalid,      // the input is wrong; trying again changes nothing
  kNotFound,     // the thing named does not exist
  kConflict,     // somebody else holds it (a foreign BPF program, a lock, a duplicate)
  kDenied,       // policy, permission, capability
  kUnsupported,  // this kernel or build lacks it
  kExhausted,    // a limit, quota, map or pool is full
  kTimeout,
  kRefused,   // the peer said no (connection refused, stream refused)
  kReset,     // the peer went away mid-way
  kProtocol,  // a peer broke a protocol
  kClosed,    // our own side is closing
  kCancelled,
  kSystem,  // a system call failed otherwise; `errno_value` tells
};

struct Error {
  ErrorCode code = ErrorCode::kSystem;
  int errno_value = 0;  // 0 where no system call was involved
  std::string message;  // what was wrong, where, and what to do
};

template <typename T>
using Result = std::expected<T, Error>;

// A failure made from a format string: return fail(ErrorCode::kInvalid, "pod {}: …", name);
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, 0, fmt::format(format, std::forward<Args>(args)...)});
}

// A failed system call: the sentence ends with errno's name and text. `errno_value` is positive.
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(int errno_value, fmt::format_string<Args...> format, Args&&... args) {
  ErrorCode code = ErrorCode::kSystem;
  switch (errno_value) {
    case ECONNREFUSED:
      code = ErrorCode::kRefused;
      break;
    case ECONNRESET:
    case EPIPE:
      code = ErrorCode::kReset;
      break;
    case ETIMEDOUT:
      code = ErrorCode::kTimeout;
      break;
    case ECANCELED:
      code = ErrorCode::kCancelled;
      break;
    case EPERM:
    case EACCES:
      code = ErrorCode::kDenied;
      break;
    case ENOENT:
      code = ErrorCode::kNotFound;
      break;
    case ENOBUFS:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      code = ErrorCode::kExhausted;
      break;
    default:
      break;
  }
  return std::unexpected(Error{code, errno_value,
                               fmt::format("{}: {} ({})", fmt::format(format, std::forward<Args>(args)...),
                                           std::strerror(errno_value), strerrorname_np(errno_value))});
}

}  // namespace leat

// Assigns the value of `expression` to `lhs`, or returns its error from the enclosing function (a plain function, not a
// coroutine).
#define LEAT_CONCAT_(a, b) a##b
#define LEAT_CONCAT(a, b) LEAT_CONCAT_(a, b)
// NOLINTBEGIN(bugprone-macro-parentheses): `lhs` may be a declaration
#define LEAT_TRY(lhs, expression)                                                                                 \
  auto LEAT_CONCAT(result_, __LINE__) = (expression);                                                             \
  if (!LEAT_CONCAT(result_, __LINE__)) return std::unexpected(std::move(LEAT_CONCAT(result_, __LINE__)).error()); \
  lhs = std::move(*LEAT_CONCAT(result_, __LINE__))
// NOLINTEND(bugprone-macro-parentheses)
#define LEAT_TRY_VOID(expression)                                                          \
  if (auto LEAT_CONCAT(result_, __LINE__) = (expression); !LEAT_CONCAT(result_, __LINE__)) \
  return std::unexpected(std::move(LEAT_CONCAT(result_, __LINE__)).error())
