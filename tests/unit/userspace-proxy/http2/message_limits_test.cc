// What an application that means harm, or is broken, gets.
#include "message_pair.h"

using namespace leat::test;
using namespace std::chrono_literals;
using leat::http2::Breach;
namespace http1 = leat::http1;
namespace limits = leat::http2::limits;

namespace {

std::string get(uint32_t id, uint8_t flags = kEndHeaders | kEndStream) {
  return headers(id, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, flags);
}

}  // namespace

TEST_CASE("floods end the session with ENHANCE_YOUR_CALM, each counted for what it is") {
  const auto flood = [](Breach breach, auto make) {
    OpenServer server;
    REQUIRE(server.feed(get(1, kEndHeaders)));
    const http1::FieldLine fields[] = {{"a", "b"}};
    server.session.respond(*stream_with(server.session, EventKind::kRequest), 200, fields, false);
    int sent = 0;
    while (server.feed(make(sent))) {
      REQUIRE(++sent < 4000);
      (void)output_of(server.session);
    }
    CHECK(server.breaches(breach) == 1);
    CHECK(stream_with(server.session, EventKind::kReset));
    CHECK(output_of(server.session).find(big_endian(0xb, 4)) != std::string::npos);
    CHECK(server.session.finished());
    return sent;
  };
  CHECK(flood(Breach::kSettingsFlood, [](int) { return settings({{4, 65535}}); }) < 25);
  CHECK(flood(Breach::kControlFlood, [](int) { return frame(kPing, 0, 0, "12345678"); }) <= 201);
  CHECK(flood(Breach::kEmptyDataFlood, [](int) { return frame(kData, 0, 1, ""); }) == limits::kEmptyData.burst);
  CHECK(flood(Breach::kContinuationFlood, [](int) {
          std::string block = frame(kHeaders, kNoFlags, 3, header_block({{":method", "GET"}}));
          for (int i = 0; i < 20; ++i) block += frame(kContinuation, kNoFlags, 3, header_block({{"a", "b"}}));
          return block;
        }) == 0);
  CHECK(flood(Breach::kRapidReset, [](int i) {
          const uint32_t id = 3 + 2 * static_cast<uint32_t>(i);
          return get(id) + frame(kRstStream, 0, id, big_endian(8, 4));
        }) == limits::kUnansweredCalls.burst);
}

TEST_CASE("streams beyond those that were offered end the session") {
  OpenServer server;
  for (uint32_t i = 0; i < limits::kMaxStreams; ++i) REQUIRE(server.feed(get(1 + 2 * i)));
  CHECK_FALSE(server.feed(get(1 + 2 * limits::kMaxStreams)));
  CHECK(server.breaches(Breach::kTooManyStreams) == 1);
}

TEST_CASE("PING beside content is no flood: so gRPC measures a path") {
  OpenServer server;
  REQUIRE(server.feed(get(1, kEndHeaders)));
  leat::http2::MessageStream* stream = stream_with(server.session, EventKind::kRequest);
  for (int i = 0; i < 2000; ++i) {
    REQUIRE(server.feed(frame(kData, 0, 1, "x") + frame(kPing, 0, 0, "12345678")));
    (void)MessagePair::drain(server.session, *stream);
    (void)output_of(server.session);
  }
}

TEST_CASE("a head that is too large is told of as such, one that unpacks to far more ends the session") {
  OpenServer server;
  const std::string part(15'000, 'x');
  REQUIRE(server.feed(
      headers(1, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}, kNoFlags)));
  for (int i = 0; i < 5; ++i)
    REQUIRE(server.feed(frame(kContinuation, i == 4 ? kEndHeaders : kNoFlags, 1, header_block({{"a", part}}))));
  MessageStream* stream = stream_with(server.session, EventKind::kRequest);
  REQUIRE(stream);
  CHECK(stream->fault() == http1::Fault::kHeadTooLarge);
  CHECK(server.breaches(Breach::kHeaderList) == 1);

  const std::string entry = std::string(1, '\x40') + hpack_text("a") + hpack_text(std::string(3000, 'x'));
  const std::string block =
      header_block({{":method", "GET"}}) + entry + std::string(1000, static_cast<char>(0x80 | 62));
  CHECK_FALSE(server.feed(frame(kHeaders, kEndHeaders, 3, block)));
  CHECK(server.breaches(Breach::kHeaderList) == 2);
}

TEST_CASE("a malformed request ends its stream alone, and is counted") {
  for (const auto& request :
       {headers(1, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"Upper", "x"}}),
        headers(1, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"a", "b\r\nc"}}),
        headers(1, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"connection", "x"}}),
        headers(1, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}}),
        headers(1, {{":method", "GET"}, {":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}),
        headers(1, {{"a", "b"}, {":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}}),
        headers(
            1,
            {{":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}, {"content-length", "3"}}) +
            frame(kData, kEndStream, 1, "four")}) {
    OpenServer server;
    REQUIRE(server.feed(request));
    for (const auto& event : events_of(server.session)) {
      if (event.kind == EventKind::kRequest) CHECK(event.stream->fault() == http1::Fault::kNone);
    }
    CHECK(output_of(server.session).find(frame(kRstStream, 0, 1, big_endian(1, 4))) != std::string::npos);
    const bool in_data = request.ends_with("four");  // the codec keeps that one to itself
    CHECK(server.breaches(Breach::kMalformed) == (in_data ? 0 : 1));
    REQUIRE(server.feed(get(3)));
    CHECK(stream_with(server.session, EventKind::kRequest));
  }
}
