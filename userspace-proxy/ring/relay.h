// Carries bytes between two streams, both directions at once, until both have ended. Half-closes are kept exactly: the end of one stream's
// bytes becomes the other's finish() behind the last byte. A stream that fails resets the other, after what it had sent was delivered.
// Back-pressure is exact: a direction reads again only when its last write was taken.
//
// A stream is any type with
//   co_await recv()         → IoResult<Chain>; empty: the peer ended its direction
//   co_await send(Chain&&)  → IoResult<void>
//   finish()                ends our direction
//   reset()                 kills both; what waits at the stream completes with ECANCELED
#pragma once

#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/task.h"

namespace leat::ring {

struct RelayCounters {
  uint64_t a_to_b = 0;  // bytes taken by the receiving side's kernel or window; may be read while the relay runs
  uint64_t b_to_a = 0;
};

struct RelayResult {
  enum class End : uint8_t {
    kFinished,   // both directions ended by themselves
    kAFailed,    // A was reset or broke; B was reset
    kBFailed,
    kCancelled,  // somebody reset a stream from outside
  };
  End end = End::kFinished;
  int error = 0;  // errno of the failure
};

template <typename A, typename B>
Task<RelayResult> relay(A& a, B& b, RelayCounters& counters);

}  // namespace leat::ring
