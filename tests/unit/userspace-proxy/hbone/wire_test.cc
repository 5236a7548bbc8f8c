// What ztunnel puts on the wire, and what it must see from us.
#include "session_pair.h"

using namespace leat::test;
using leat::SocketAddress;
namespace limits = leat::hbone::limits;

namespace {

constexpr std::string_view kBaggage =
    "k8s.cluster.name=Kubernetes,k8s.namespace.name=shop,k8s.deployment.name=front,service.name=front,service.version="
    "v1,"
    "cloud.region=r,cloud.availability_zone=z";

struct Frame {
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
};

std::vector<Frame> frames_of(std::string_view bytes) {
  std::vector<Frame> frames;
  const auto number = [&](size_t at, size_t size) {
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  };
  while (bytes.size() >= 9) {
    const uint32_t size = number(0, 3);
    REQUIRE(bytes.size() >= 9 + size);
    frames.push_back({static_cast<uint8_t>(number(3, 1)), static_cast<uint8_t>(number(4, 1)), number(5, 4),
                      std::string(bytes.substr(9, size))});
    bytes.remove_prefix(9 + size);
  }
  CHECK(bytes.empty());
  return frames;
}

}  // namespace

TEST_CASE(
    "ztunnel's first flight is understood: its settings, its CONNECT before our SETTINGS are acknowledged, its end of "
    "stream") {
  Server server;
  REQUIRE(server.feed(ztunnel_preface() +
                      headers(1, {{":method", "CONNECT"},
                                  {":authority", "10.244.1.5:8080"},
                                  {"baggage", kBaggage},
                                  {"forwarded", "for=\"10.244.2.7:43210\""},
                                  {"traceparent", "00-80e1afed08e019fc1110464cfa66635c-7a085853722dc6d2-00"}})));
  Stream* stream = stream_with(server.session, EventKind::kConnect);
  REQUIRE(stream);
  CHECK(stream->request().authority.text() == "10.244.1.5:8080");
  CHECK(stream->request().baggage == kBaggage);
  CHECK(stream->request().forwarded == "for=\"10.244.2.7:43210\"");
  CHECK(stream->request().traceparent.size() == 55);
  server.session.accept(*stream, "service.name=back");
  REQUIRE(server.feed(frame(kData, 0, 1, "hello") + frame(kData, kEndStream, 1, "")));
  const auto events = events_of(server.session);
  REQUIRE(events.size() == 2);
  CHECK(events[0].kind == EventKind::kReadable);
  CHECK(events[1].kind == EventKind::kEnded);
  CHECK(text_of(stream->received()) == "hello");
}

TEST_CASE("a DATA frame of 16 KiB is the longest that we announce, also to a peer that takes a megabyte") {
  Server server;
  REQUIRE(server.feed(ztunnel_preface() + connect(1, "10.0.0.5:80")));
  Stream* stream = stream_with(server.session, EventKind::kConnect);
  server.session.accept(*stream, "");
  leat::ring::Chain bytes = chain_of(server.pool, std::string(100'000, 'x'));
  server.session.send(*stream, bytes);
  size_t data = 0;
  for (const Frame& frame : frames_of(output_of(server.session))) {
    CHECK(frame.payload.size() <= 16384);
    if (frame.type == kData) data += frame.payload.size();
    if (frame.type == kSettings && frame.flags == 0)
      CHECK(frame.payload.find(big_endian(5, 2)) == std::string::npos);  // MAX_FRAME_SIZE stays
  }
  CHECK(data == 100'000);  // ztunnel's window of 4 MiB is used, not the default's 64 KiB
}

TEST_CASE(
    "a client begins with preface, SETTINGS without push, a connection window; then CONNECT, its headers in ztunnel's "
    "order") {
  leat::ring::BufferPool pool(64);
  leat::hbone::Counters counters;
  Session client(Session::Role::kClient, pool, counters, {});
  client.open({*SocketAddress::parse("10.0.0.5:80"), "service.name=a", "for=\"10.0.0.1:2\"", "00-a-b-00"});
  const std::string bytes = output_of(client);
  REQUIRE(bytes.starts_with(kPreface));
  const auto frames = frames_of(std::string_view(bytes).substr(kPreface.size()));
  REQUIRE(frames.size() == 3);
  CHECK(frames[0].type == kSettings);
  CHECK(frames[0].payload.starts_with(big_endian(2, 2) + big_endian(0, 4)));
  CHECK(frames[1].type == kWindowUpdate);
  CHECK(frames[1].stream == 0);
  CHECK(frames[1].payload == big_endian(limits::kConnectionWindowBytes - 65535, 4));
  CHECK(frames[2].type == kHeaders);
  CHECK(frames[2].flags == kEndHeaders);  // no END_STREAM

  // The order, as another session reads it: a decoder of our own would only repeat the encoder.
  Server server;
  REQUIRE(server.feed(bytes));
  const Stream* stream = stream_with(server.session, EventKind::kConnect);
  REQUIRE(stream);
  CHECK(stream->request().baggage == "service.name=a");
}

TEST_CASE("a refusal is HEADERS with END_STREAM, then RST_STREAM NO_ERROR, as ztunnel does") {
  Server server;
  REQUIRE(server.feed(ztunnel_preface() + connect(1, "10.0.0.5:80")));
  (void)output_of(server.session);
  Stream* stream = stream_with(server.session, EventKind::kConnect);
  server.session.refuse(*stream, 401, "policy");
  server.session.release(*stream);
  const auto frames = frames_of(output_of(server.session));
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].type == kHeaders);
  CHECK(frames[0].flags == (kEndHeaders | kEndStream));
  CHECK(frames[1].type == kRstStream);
  CHECK(frames[1].payload == big_endian(0, 4));
}

TEST_CASE("small frames of many streams follow one another without gaps") {
  Server server;
  REQUIRE(server.feed(ztunnel_preface()));
  for (uint32_t i = 0; i < 10; ++i) REQUIRE(server.feed(connect(1 + 2 * i, "10.0.0.5:80")));
  std::vector<Stream*> streams;
  for (const Event& event : events_of(server.session)) {
    if (event.kind == EventKind::kConnect) streams.push_back(event.stream);
  }
  REQUIRE(streams.size() == 10);
  for (Stream* stream : streams) server.session.accept(*stream, "");
  (void)output_of(server.session);
  for (Stream* stream : streams) {
    leat::ring::Chain bytes = chain_of(server.pool, std::string(100, 'x'));
    server.session.send(*stream, bytes);
  }
  CHECK(output_of(server.session).size() == 10 * (9 + 100));
}
