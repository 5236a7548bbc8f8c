// What limits HBONE beside HTTP/2's own limits.
#pragma once

#include "userspace-proxy/http2/limits.h"

namespace leat::hbone::limits {

using namespace http2::limits;  // NOLINT(google-build-using-namespace): one set of names

// A CONNECT has five short headers.
inline constexpr size_t kMaxHeaderListBytes = 16 * 1024;  // beyond: 431
inline constexpr size_t kHeaderBombBytes = 64 * 1024;     // beyond: the session ends
inline constexpr size_t kMaxHeaderValueBytes = 4096;      // baggage, forwarded, traceparent
inline constexpr size_t kMaxReasonBytes = 64;             // leat-reason is a word, not a story

}  // namespace leat::hbone::limits
