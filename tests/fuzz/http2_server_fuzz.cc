// What an application may send into the session that serves it, while flows answer, echo, drain slowly, end with
// trailers, reset and leave. The input's first byte steers these; the rest is the application's.
#include "tests/fuzz/http2_flows.h"

using namespace leat;
using namespace leat::fuzz;
using http2::EventKind;
using http2::MessageSession;
using http2::MessageStream;

namespace {

void check(const http1::RequestHead& head, ring::BufferPool& pool) {
  ring::Chain out;
  if (!http1::write_request(out, pool, head)) return;
  http1::RequestReader reader;
  ring::Chain body;
  LEAT_CHECK(reader.read(out, body) == http1::Step::kHead || reader.fault() == http1::Fault::kHeadTooLarge ||
                 reader.fault() == http1::Fault::kTooManyFields,
             "a request that passed is none in HTTP/1.1");
  LEAT_CHECK(out.empty(), "a request with another one behind it");
}

void answer(MessageSession& session, MessageStream& stream, Dice& dice) {
  const http1::FieldLine fields[] = {{"content-type", "application/grpc"}, {"a", "b"}};
  session.respond(stream, 200, fields, dice.one_in(4));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ring::BufferPool pool(512);
  if (size == 0) return 0;
  const uint32_t free_before = pool.free_blocks();
  {
    http2::Counters counters;
    MessageSession session(http2::Session::Role::kServer, pool, counters, {});
    Dice dice(data[0]);
    http1::HeadBuilder builder;
    builder.begin(http1::HeadBuilder::Kind::kTrailers);
    builder.add("grpc-status", "0");
    http1::Fields trailers;
    LEAT_CHECK(builder.finish(trailers) == http1::Fault::kNone, "trailers of our own");
    std::vector<MessageStream*> going;  // answered, not ended
    const auto forget = [&](MessageStream& stream) {
      std::erase(going, &stream);
      session.release(stream);
    };
    drive(session, pool, data, size, dice, [&] {
      for (MessageSession::Event event; session.next_event(event);) {
        if (!event.stream) continue;
        MessageStream& stream = *event.stream;
        if (event.kind == EventKind::kRequest) {
          LEAT_CHECK(!stream.closed(), "a closed stream is announced");
          if (stream.fault() == http1::Fault::kNone) check(stream.request(), pool);
          answer(session, stream, dice);
          going.push_back(&stream);
        } else if (event.kind == EventKind::kReset || event.kind == EventKind::kClosed) {
          forget(stream);
        } else if (event.kind == EventKind::kReadable) {
          drain(session, stream, dice);
          if (dice.one_in(16)) forget(stream);
        } else if (event.kind == EventKind::kEnded && std::ranges::find(going, &stream) != going.end()) {
          dice.one_in(2) ? session.end(stream, trailers) : session.end(stream);
          std::erase(going, &stream);
        }
      }
    });
  }
  LEAT_CHECK(pool.free_blocks() == free_before, "blocks were lost");
  return 0;
}
