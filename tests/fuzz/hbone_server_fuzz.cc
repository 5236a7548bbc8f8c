// What an authenticated stranger may send into a server's HBONE session, in pieces of any size, while flows accept,
// refuse, echo, drain slowly, reset and leave, and the output is taken in small parts from a pool that is nearly dry.
// The input's first byte steers these; the rest is the stranger's.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/check.h"
#include "userspace-proxy/hbone/session.h"

using namespace leat::hbone;
using leat::ring::BufferPool;
using leat::ring::Chain;

namespace {

// All blocks but `left`.
std::vector<leat::ring::Buffer> hoard(BufferPool& pool, uint32_t left) {
  std::vector<leat::ring::Buffer> blocks;
  while (pool.free_blocks() > left) blocks.push_back(pool.allocate());
  return blocks;
}

class Flows {
 public:
  Flows(Session& session, uint8_t seed) : session_(session), random_(seed * 2654435761u + 1) {}

  uint32_t next() { return (random_ = random_ * 1664525 + 1013904223) >> 8; }

  void act() {
    for (Event event; session_.next_event(event);) {
      if (!event.stream) continue;
      Stream& stream = *event.stream;
      if (event.kind == EventKind::kConnect) {
        answer(stream);
      } else if (event.kind == EventKind::kReset || event.kind == EventKind::kClosed) {
        release(stream);
      } else if (event.kind == EventKind::kReadable) {
        echo(stream);
      } else if (event.kind == EventKind::kEnded) {
        session_.end(stream);
        ended_.push_back(&stream);
      }
    }
  }

 private:
  void answer(Stream& stream) {
    LEAT_CHECK(!stream.closed(), "a closed stream is announced");
    (void)stream.request().authority.text();
    if (next() % 8 == 0) {
      session_.refuse(stream, 503, "no-endpoint");
      session_.release(stream);
    } else {
      session_.accept(stream, "service.name=x");
    }
  }
  void echo(Stream& stream) {
    if (next() % 4 == 0) return;  // a slow reader
    const size_t size = stream.received().size();
    const bool ended = std::ranges::find(ended_, &stream) != ended_.end();
    if (!ended && !stream.closed()) session_.send(stream, stream.received());
    stream.received().clear();
    session_.consumed(stream, size);
    if (next() % 16 == 0) session_.reset(stream, ResetCode::kConnectError);
    if (next() % 16 == 0) release(stream);
  }
  void release(Stream& stream) {
    std::erase(ended_, &stream);
    session_.release(stream);
  }

  Session& session_;
  uint32_t random_;
  std::vector<Stream*> ended_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static BufferPool pool(512);
  if (size == 0) return 0;
  const uint32_t free_before = pool.free_blocks();
  {
    Counters counters;
    Clock::time_point now{};
    Session session(Session::Role::kServer, pool, counters, now);
    Flows flows(session, data[0]);
    const size_t piece = 1 + data[0] % 97 * 7;
    for (size_t at = 1; at < size; at += piece) {
      Chain bytes;
      LEAT_CHECK(bytes.append_copy(pool, {data + at, std::min(piece, size - at)}), "pool dry");
      now += std::chrono::milliseconds(data[0]);
      const bool fine = session.feed(std::move(bytes), now).has_value();
      flows.act();
      Chain out;
      {
        const auto hoarded = hoard(pool, flows.next() % 4 == 0 ? flows.next() % 8 : pool.blocks());
        session.produce(out, 1 + flows.next() % 40000);
      }
      flows.act();
      if (!fine) {
        LEAT_CHECK(session.finished(), "a broken session that goes on");
        break;
      }
      if (session.finished()) break;
    }
  }
  LEAT_CHECK(pool.free_blocks() == free_before, "blocks were lost");
  return 0;
}
