// Carries bytes between two streams, both directions at once, until both have ended. Half-closes are kept exactly: the
// end of one stream's bytes becomes the other's finish() behind the last byte. A stream that fails resets the other,
// after what it had sent was delivered. Back-pressure is exact: a direction reads again only when its last write was
// taken.
//
// A stream is any type with
//   co_await recv()         → IoResult<Chain>; empty: the peer ended its direction
//   co_await send(Chain&&)  → IoResult<void>
//   finish()                ends our direction
//   reset()                 kills both; what waits at the stream completes with ECANCELED
//   co_await hangup()       → IoResult<void>; optional: how to learn of a reset while not reading
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
    kFinished,  // both directions ended by themselves
    kAFailed,   // A was reset or broke; B was reset
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
  Signal ended;
  uint8_t flowing = 2;  // directions that may still carry bytes
  uint8_t running = 2;  // directions whose coroutine lives

  // The first failure is the reason; those that our own resets cause are not.
  void failed(End end, int error) {
    if (result.end == End::kFinished) result = {error == ECANCELED ? End::kCancelled : end, error};
  }
};

// One stream as a direction sees it.
template <typename Stream>
struct RelayEnd {
  Stream& stream;
  RelayResult::End when_failed;
  bool broken = false;  // a write to it failed
};

// From one stream to the other until the first one's end, or a failure.
template <typename From, typename To>
Detached relay_direction(RelayEnd<From>& from, RelayEnd<To>& to, RelayState& state, uint64_t& bytes) {
  const auto kill = [&](RelayResult::End end, int error) {
    state.failed(end, error);
    from.stream.reset();
    to.stream.reset();
  };
  for (;;) {
    IoResult<Chain> got = co_await from.stream.recv();
    if (!got || (got->empty() && from.broken)) {
      --state.flowing;
      kill(from.when_failed, got ? EPIPE : got.error().value);
      break;
    }
    if (got->empty()) {
      --state.flowing;
      to.stream.finish();
      if constexpr (requires { from.stream.hangup(); }) {
        // Nobody reads this stream any more, so nobody would see a reset while the other direction is silent.
        if (state.flowing > 0) {
          const IoResult<void> hung_up = co_await from.stream.hangup();
          if (state.flowing > 0) kill(from.when_failed, hung_up ? ECONNRESET : hung_up.error().value);
        }
      }
      break;
    }
    const size_t size = got->size();
    const IoResult<void> sent = co_await to.stream.send(std::move(*got));
    if (!sent) {
      // What the broken stream had sent before is still read and delivered; then the other direction resets. If that
      // one has ended already, nobody else is here to do it.
      to.broken = true;
      state.failed(to.when_failed, sent.error().value);
      if (--state.flowing == 0) kill(to.when_failed, sent.error().value);
      break;
    }
    bytes += size;
  }
  if (--state.running == 0) state.ended.set();
}

}  // namespace detail

template <typename A, typename B>
Task<RelayResult> relay(A& a, B& b, RelayCounters& counters) {
  detail::RelayState state;
  detail::RelayEnd<A> a_end{a, RelayResult::End::kAFailed};
  detail::RelayEnd<B> b_end{b, RelayResult::End::kBFailed};
  detail::relay_direction(a_end, b_end, state, counters.a_to_b);
  detail::relay_direction(b_end, a_end, state, counters.b_to_a);
  if (state.running > 0) co_await state.ended.wait();
  co_return state.result;
}

}  // namespace leat::ring
