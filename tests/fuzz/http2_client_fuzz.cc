// What a server may send to the session that asks it, while requests are opened, fed, ended with trailers, reset and
// given up. The input's first byte steers these; the rest is the server's.
#include "tests/fuzz/http2_flows.h"

using namespace leat;
using namespace leat::fuzz;
using http2::EventKind;
using http2::MessageSession;
using http2::MessageStream;

namespace {

// The head of a POST.
const http1::RequestHead& request(ring::BufferPool& pool) {
  static http1::RequestReader reader;
  if (!reader.has_head()) {
    constexpr std::string_view kText = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    ring::Chain input;
    ring::Chain body;
    LEAT_CHECK(input.append_copy(pool, {reinterpret_cast<const uint8_t*>(kText.data()), kText.size()}), "pool dry");
    LEAT_CHECK(reader.read(input, body) == http1::Step::kHead, "a request of our own");
  }
  return reader.head();
}

void check(const http1::ResponseHead& head, ring::BufferPool& pool) {
  ring::Chain out;
  if (!http1::write_response(out, pool, head, {})) return;
  http1::ResponseReader reader;
  ring::Chain body;
  LEAT_CHECK(reader.read(out, body) == http1::Step::kHead || reader.fault() == http1::Fault::kHeadTooLarge ||
                 reader.fault() == http1::Fault::kTooManyFields,
             "a response that passed is none in HTTP/1.1");
  LEAT_CHECK(out.empty(), "a response with another one behind it");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ring::BufferPool pool(512);
  if (size == 0) return 0;
  const http1::RequestHead& asked = request(pool);
  const uint32_t free_before = pool.free_blocks();
  {
    http2::Counters counters;
    MessageSession session(http2::Session::Role::kClient, pool, counters, {});
    Dice dice(data[0]);
    uint32_t open = 0;
    drive(session, pool, data, size, dice, [&] {
      while (open < 8 && session.can_open()) {
        MessageStream& stream = session.open(asked, {}, dice.one_in(2));
        ++open;
        if (dice.one_in(3)) session.reset(stream, http2::ResetCode::kCancel);
      }
      for (MessageSession::Event event; session.next_event(event);) {
        if (!event.stream) continue;
        MessageStream& stream = *event.stream;
        bool done = event.kind == EventKind::kReset || event.kind == EventKind::kClosed;
        if (event.kind == EventKind::kResponse && stream.fault() == http1::Fault::kNone) check(stream.response(), pool);
        if (event.kind == EventKind::kReadable) {
          drain(session, stream, dice);
          done = dice.one_in(16);
        }
        if (!done) continue;
        session.release(stream);
        --open;
      }
    });
  }
  LEAT_CHECK(pool.free_blocks() == free_before, "blocks were lost");
  return 0;
}
