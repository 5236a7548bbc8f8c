// How long a gRPC reply is held back until its trailers say how the call went, so that one that failed can be tried
// again: as long as it may still be a short unary one. Its head, and one message of up to limits::kHeldReplyBytes, wait
// for at most limits::kReplyHold after the head; what shows that there is more to it, or takes longer, goes on at once.
// So a streaming reply's first message may come that much later, and no other. Pure.
#pragma once

#include <array>
#include <cstdint>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/buffer.h"

namespace leat::proxy {

// `body`: all that has come of a gRPC reply's.
inline bool may_be_short_unary(const ring::Chain& body) {
  if (body.size() > limits::kHeldReplyBytes) return false;
  constexpr size_t kPrefixBytes = 5;  // of each message: a flag, and a length of four bytes
  if (body.size() < kPrefixBytes) return true;
  std::array<uint8_t, kPrefixBytes> prefix;
  size_t read = 0;
  for (const ring::Buffer& slice : body.slices()) {
    for (size_t i = 0; i < slice.size() && read < kPrefixBytes; ++i) prefix[read++] = slice.data()[i];
  }
  const size_t message = size_t{prefix[1]} << 24 | size_t{prefix[2]} << 16 | size_t{prefix[3]} << 8 | size_t{prefix[4]};
  return body.size() <= kPrefixBytes + message;
}

}  // namespace leat::proxy
