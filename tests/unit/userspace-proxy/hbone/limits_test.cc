// What a peer that means harm, or is broken, gets.
#include "session_pair.h"

using namespace leat::test;
using namespace std::chrono_literals;
using leat::hbone::Breach;
namespace limits = leat::hbone::limits;

namespace {

// A server past the preface, its own frames taken.
struct Opened : Server {
  Opened() {
    REQUIRE(feed(ztunnel_preface()));
    (void)output_of(session);
  }
  // The status of the only answer; its literal stands in the header block (200, 400, 503 are indexed).
  std::string answer(std::string_view bytes) {
    REQUIRE(feed(bytes));
    for (const Event& event : events_of(session)) CHECK(event.stream == nullptr);
    return output_of(session);
  }
};

constexpr char kIndexed400 = static_cast<char>(0x80 | 12);

}  // namespace

TEST_CASE("HTTP/1.1 and garbage are not taken for HTTP/2") {
  for (const std::string_view text :
       {std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), std::string_view("CONNECT 10.0.0.1:80 HTTP/1.1\r\n\r\n"),
        std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")}) {
    Server server;
    const auto result = server.feed(text);
    REQUIRE_FALSE(result);
    CHECK(result.error().message.find("not_http2") != std::string::npos);
    CHECK(server.breaches(Breach::kNotHttp2) == 1);
    CHECK(server.session.finished());
    CHECK_FALSE(server.feed(text));
  }
}

TEST_CASE("a request that is no CONNECT to an address is answered 400 and never announced") {
  for (const auto& request :
       {headers(1, {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "10.0.0.5:80"}}),
        connect(1, "backend.shop:80"), connect(1, "10.0.0.5"), connect(1, "10.0.0.5:080"), connect(1, "[::1]"),
        connect(1, std::string(5000, 'a') + ":80")}) {
    Opened server;
    const std::string answer = server.answer(request);
    CHECK(answer.find(kIndexed400) != std::string::npos);
    CHECK(answer.find(frame(kRstStream, 0, 1, big_endian(0, 4))) !=
          std::string::npos);  // NO_ERROR: not the peer's retry
    CHECK(server.session.active_streams() == 0);
    CHECK(server.breaches(Breach::kNotConnect) + server.breaches(Breach::kAuthority) == 1);
  }
}

TEST_CASE(":scheme or :path on CONNECT, or no :authority, is a PROTOCOL_ERROR of the stream alone") {
  for (const auto& request : {headers(1, {{":method", "CONNECT"}, {":scheme", "http"}, {":authority", "10.0.0.5:80"}}),
                              headers(1, {{":method", "CONNECT"}, {":path", "/"}, {":authority", "10.0.0.5:80"}}),
                              headers(1, {{":method", "CONNECT"}})}) {
    Opened server;
    CHECK(server.answer(request).find(frame(kRstStream, 0, 1, big_endian(1, 4))) != std::string::npos);
    REQUIRE(server.feed(connect(3, "10.0.0.5:80")));
    CHECK(stream_with(server.session, EventKind::kConnect));
  }
}

TEST_CASE("a header list that is too large is answered 431") {
  Opened server;
  const std::string long_value(limits::kMaxHeaderValueBytes + 1, 'x');
  CHECK(server.answer(headers(1, {{":method", "CONNECT"}, {":authority", "10.0.0.5:80"}, {"baggage", long_value}}))
            .find("431") != std::string::npos);
  CHECK(server.breaches(Breach::kHeaderList) == 1);
  const std::string part(4000, 'x');
  REQUIRE(server.feed(
      headers(3, {{":method", "CONNECT"}, {":authority", "10.0.0.5:80"}, {"a", part}, {"b", part}, {"c", part}},
              kNoFlags) +
      frame(kContinuation, kEndHeaders, 3, header_block({{"d", part}, {"e", part}}))));
  CHECK(server.breaches(Breach::kHeaderList) == 2);
  CHECK(stream_with(server.session, EventKind::kConnect) == nullptr);
}

TEST_CASE("a header list that unpacks to far more than its bytes ends the session") {
  Opened server;
  // One entry of 3 KiB into the decoder's table (RFC 7541, section 6.2.1), then one byte for each repetition.
  const std::string entry = std::string(1, '\x40') + hpack_text("a") + hpack_text(std::string(3000, 'x'));
  const std::string block = header_block({{":method", "CONNECT"}, {":authority", "10.0.0.5:80"}}) + entry +
                            std::string(1000, static_cast<char>(0x80 | 62));
  CHECK_FALSE(server.feed(frame(kHeaders, kEndHeaders, 1, block)));
  CHECK(server.breaches(Breach::kHeaderList) == 1);
  (void)output_of(server.session);
  CHECK(server.session.finished());
}

TEST_CASE("floods end the session with ENHANCE_YOUR_CALM, each counted for what it is") {
  const auto flood = [](Breach breach, auto make) {
    Opened server;
    REQUIRE(server.feed(connect(1, "10.0.0.5:80")));
    server.session.accept(*stream_with(server.session, EventKind::kConnect), "");
    int sent = 0;
    while (server.feed(make(sent))) {
      REQUIRE(++sent < 2000);
      (void)output_of(server.session);
    }
    CHECK(server.breaches(breach) == 1);
    CHECK(stream_with(server.session, EventKind::kReset));
    const std::string last = output_of(server.session);
    CHECK(last.find(big_endian(0xb, 4)) != std::string::npos);
    CHECK(server.session.finished());
    return sent;
  };
  CHECK(flood(Breach::kSettingsFlood, [](int) { return settings({{4, 65535}}); }) ==
        limits::kSettings.burst - 1);  // the preface had one
  CHECK(flood(Breach::kControlFlood, [](int) { return frame(kPing, 0, 0, "12345678"); }) == limits::kControl.burst);
  CHECK(flood(Breach::kControlFlood, [](int) { return frame(kPriority, 0, 1, std::string(5, '\0')); }) ==
        limits::kControl.burst);
  CHECK(flood(Breach::kEmptyDataFlood, [](int) { return frame(kData, 0, 1, ""); }) == limits::kEmptyData.burst);
  CHECK(flood(Breach::kBadRequestFlood, [](int i) { return connect(3 + 2 * static_cast<uint32_t>(i), "nowhere"); }) ==
        limits::kBadRequests.burst);
  CHECK(flood(Breach::kRapidReset, [](int i) {
          const uint32_t id = 3 + 2 * static_cast<uint32_t>(i);
          return connect(id, "10.0.0.5:80") + frame(kRstStream, 0, id, big_endian(8, 4));
        }) == limits::kUnansweredResets.burst);
}

TEST_CASE("resets of streams that were served are no flood") {
  Opened server;
  for (uint32_t id = 1; id < 6000; id += 2) {
    REQUIRE(server.feed(connect(id, "10.0.0.5:80")));
    Stream* stream = stream_with(server.session, EventKind::kConnect);
    REQUIRE(stream);
    server.session.accept(*stream, "");
    (void)output_of(server.session);
    REQUIRE(server.feed(frame(kRstStream, 0, id, big_endian(10, 4))));
    CHECK(stream_with(server.session, EventKind::kReset) == stream);
    server.session.release(*stream);
  }
}

TEST_CASE("floods are rates: the same number in time is welcome") {
  Opened server;
  for (uint32_t i = 0; i < 1000; ++i) {
    server.now += 1s;
    REQUIRE(server.feed(frame(kPing, 0, 0, "12345678")));
    (void)output_of(server.session);
  }
}

TEST_CASE("a CONTINUATION flood ends the session") {
  Opened server;
  REQUIRE(server.feed(frame(kHeaders, kNoFlags, 1, header_block({{":method", "CONNECT"}}))));
  bool over = false;
  for (int i = 0; i < 100 && !over; ++i) {
    over = !server.feed(frame(kContinuation, kNoFlags, 1, header_block({{"a", "b"}})));
    (void)output_of(server.session);
    over |= server.session.finished();
  }
  CHECK(over);
  CHECK(server.breaches(Breach::kContinuationFlood) == 1);
}

TEST_CASE("more streams than were offered end the session") {
  Opened server;
  REQUIRE(server.feed(frame(kSettings, kAck, 0, "")));
  for (uint32_t i = 0; i <= limits::kMaxStreams; ++i) (void)server.feed(connect(1 + 2 * i, "10.0.0.5:80"));
  (void)output_of(server.session);
  CHECK(server.session.finished());
  CHECK(server.breaches(Breach::kTooManyStreams) == 1);
}

TEST_CASE("a peer that ignores its window is refused") {
  Opened server;
  REQUIRE(server.feed(frame(kSettings, kAck, 0, "") + connect(1, "10.0.0.5:80")));
  Stream* stream = stream_with(server.session, EventKind::kConnect);
  server.session.accept(*stream, "");
  for (int i = 0; i < 5; ++i) (void)server.feed(frame(kData, 0, 1, std::string(16384, 'x')));
  (void)output_of(server.session);
  uint32_t code = 0;
  CHECK(stream_with(server.session, EventKind::kReset, &code) == stream);
  CHECK(stream->received().size() <= limits::kInitialWindowBytes + 16384);  // the frame that went too far
}
