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

#include <cerrno>
#include <cstdint>
#include <utility>

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

namespace detail {

// What the two directions of a relay share. It lives in the frame of relay().
struct RelayState {
  using End = RelayResult::End;
  RelayResult result;
  Signal both_ended;
  uint8_t open = 2;
  bool a_broken = false;  // a write to it failed: what it had sent before is still read and delivered, then the other side is reset
  bool b_broken = false;

  // The first failure is the reason; those that our own resets cause are not.
  void failed(End end, int error) {
    if (result.end == End::kFinished) result = {error == ECANCELED ? End::kCancelled : end, error};
  }
};

template <typename From, typename To>
Detached relay_direction(From& from, To& to, RelayState& state, RelayResult::End from_failed, RelayResult::End to_failed,
                           bool& from_broken, bool& to_broken, uint64_t& bytes) {
  for (;;) {
    IoResult<Chain> got = co_await from.recv();
    if (!got || (got->empty() && from_broken)) {
      state.failed(from_failed, got ? EPIPE : got.error().value);
      from.reset();
      to.reset();
      break;
    }
    if (got->empty()) {
      to.finish();
      break;
    }
    const size_t size = got->size();
    if (IoResult<void> sent = co_await to.send(std::move(*got)); !sent) {
      state.failed(to_failed, sent.error().value);
      to_broken = true;
      // The other direction ends by itself when it has read what `to` left; if it has ended before, nobody else is here to reset.
      if (state.open == 1) {
        from.reset();
        to.reset();
      }
      break;
    }
    bytes += size;
  }
  if (--state.open == 0) state.both_ended.set();
}

}  // namespace detail

template <typename A, typename B>
Task<RelayResult> relay(A& a, B& b, RelayCounters& counters) {
  using End = RelayResult::End;
  detail::RelayState state;
  detail::relay_direction(a, b, state, End::kAFailed, End::kBFailed, state.a_broken, state.b_broken, counters.a_to_b);
  detail::relay_direction(b, a, state, End::kBFailed, End::kAFailed, state.b_broken, state.a_broken, counters.b_to_a);
  if (state.open > 0) co_await state.both_ended.wait();
  co_return state.result;
}

}  // namespace leat::ring
