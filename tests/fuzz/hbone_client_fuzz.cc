// What a server that is a stranger may answer into a client's HBONE session, in pieces of any size, while flows open
// streams, send, drain slowly, half-close, reset and leave, and the output is taken in small parts. The input's first
// byte steers these; the rest is the server's.
#include <algorithm>
#include <cstdint>
#include <set>

#include "common/check.h"
#include "userspace-proxy/hbone/session.h"

using namespace leat::hbone;
using leat::ring::BufferPool;
using leat::ring::Chain;

namespace {

constexpr size_t kStreams = 8;  // at a time

class Flows {
 public:
  Flows(Session& session, BufferPool& pool, uint8_t seed)
      : session_(session), pool_(pool), random_(seed * 2654435761u + 1) {}

  uint32_t next() { return (random_ = random_ * 1664525 + 1013904223) >> 8; }

  void open_some() {
    while (session_.can_open() && streams_.size() < kStreams && next() % 3 != 0) {
      ConnectRequest request;
      request.authority = {leat::IpAddress::v4(0x0af40105), 8080};
      Stream& stream = session_.open(request);
      LEAT_CHECK(streams_.insert(&stream).second, "one stream twice");
      send_something(stream);  // waits for kAccepted
    }
  }

  void act() {
    for (Event event; session_.next_event(event);) {
      if (!event.stream) continue;
      Stream& stream = *event.stream;
      LEAT_CHECK(streams_.contains(&stream), "an event of a stream that was released");
      switch (event.kind) {
        case EventKind::kConnect:
          LEAT_CHECK(false, "a server opened a stream");
          break;
        case EventKind::kAccepted:
          LEAT_CHECK(accepted_.insert(&stream).second, "a stream is accepted twice");
          break;
        case EventKind::kRefused:
          LEAT_CHECK(!accepted_.contains(&stream) && event.code != 200, "an accepted stream is refused");
          (void)stream.refusal_reason();
          release(stream);
          break;
        case EventKind::kReset:
        case EventKind::kClosed:
          release(stream);
          break;
        case EventKind::kReadable:
          LEAT_CHECK(accepted_.contains(&stream), "bytes of a stream that was not accepted");
          take(stream);
          break;
        case EventKind::kEnded:
          session_.end(stream);
          break;
        default:
          break;
      }
    }
  }

 private:
  void send_something(Stream& stream) {
    static constexpr uint8_t kBytes[5000] = {};
    Chain bytes;
    LEAT_CHECK(bytes.append_copy(pool_, {kBytes, next() % sizeof kBytes}), "pool dry");
    session_.send(stream, bytes);
  }
  void take(Stream& stream) {
    if (next() % 4 == 0) return;  // a slow reader
    const size_t size = stream.received().size();
    stream.received().clear();
    session_.consumed(stream, size);
    if (next() % 16 == 0) session_.reset(stream, ResetCode::kConnectError);
    if (next() % 16 == 0) release(stream);
  }
  void release(Stream& stream) {
    streams_.erase(&stream);
    accepted_.erase(&stream);
    session_.release(stream);
  }

  Session& session_;
  BufferPool& pool_;
  uint32_t random_;
  std::set<Stream*> streams_, accepted_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static BufferPool pool(512);
  if (size == 0) return 0;
  const uint32_t free_before = pool.free_blocks();
  {
    Counters counters;
    Clock::time_point now{};
    Session session(Session::Role::kClient, pool, counters, now);
    Flows flows(session, pool, data[0]);
    const size_t piece = 1 + data[0] % 97 * 7;
    for (size_t at = 1; at < size; at += piece) {
      flows.open_some();
      Chain out;
      session.produce(out, 1 + flows.next() % 40000);
      Chain bytes;
      LEAT_CHECK(bytes.append_copy(pool, {data + at, std::min(piece, size - at)}), "pool dry");
      now += std::chrono::milliseconds(data[0]);
      const bool fine = session.feed(std::move(bytes), now).has_value();
      flows.act();
      if (!fine) {
        Chain last;
        session.produce(last, 40000);
        flows.act();
        LEAT_CHECK(session.finished(), "a broken session that goes on");
        break;
      }
      if (session.finished()) break;
    }
  }
  LEAT_CHECK(pool.free_blocks() == free_before, "blocks were lost");
  return 0;
}
