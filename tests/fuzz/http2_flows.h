// What both fuzzers of HTTP/2 messages do with a session: bytes in pieces, a nearly dry pool, its output in small
// parts.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/check.h"
#include "userspace-proxy/http1/reader.h"
#include "userspace-proxy/http2/message_session.h"

namespace leat::fuzz {

// All blocks but `left`.
inline std::vector<ring::Buffer> hoard(ring::BufferPool& pool, uint32_t left) {
  std::vector<ring::Buffer> blocks;
  while (pool.free_blocks() > left) blocks.push_back(pool.allocate());
  return blocks;
}

class Dice {
 public:
  explicit Dice(uint8_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t next() { return (state_ = state_ * 1664525 + 1013904223) >> 8; }
  bool one_in(uint32_t sides) { return next() % sides == 0; }

 private:
  uint32_t state_;
};

// `act(session)` after each step.
template <typename Act>
void drive(http2::MessageSession& session, ring::BufferPool& pool, const uint8_t* data, size_t size, Dice& dice,
           Act act) {
  http2::Clock::time_point now{};
  const size_t piece = 1 + data[0] % 97 * 7;
  for (size_t at = 1; at < size && !session.finished(); at += piece) {
    ring::Chain bytes;
    LEAT_CHECK(bytes.append_copy(pool, {data + at, std::min(piece, size - at)}), "pool dry");
    now += std::chrono::milliseconds(data[0]);
    const bool fine = session.feed(std::move(bytes), now).has_value();
    act();
    ring::Chain out;
    {
      const auto hoarded = hoard(pool, dice.one_in(4) ? dice.next() % 8 : pool.blocks());
      session.produce(out, 1 + dice.next() % 40000);
    }
    act();
    if (!fine) {
      LEAT_CHECK(session.finished(), "a broken session that goes on");
      return;
    }
  }
}

// Gives back what has arrived, as somebody who reads would, or not.
inline void drain(http2::MessageSession& session, http2::MessageStream& stream, Dice& dice) {
  if (dice.one_in(4)) return;
  const size_t size = stream.received().size();
  stream.received().clear();
  session.consumed(stream, size);
}

}  // namespace leat::fuzz
