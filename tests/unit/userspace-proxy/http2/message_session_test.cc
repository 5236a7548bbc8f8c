#include "message_pair.h"

using namespace leat::test;
using namespace leat;

namespace {
constexpr std::string_view kGet = "GET /a?b=c HTTP/1.1\r\nHost: shop:8080\r\nX-One: 1\r\n\r\n";
constexpr std::string_view kPost =
    "POST /in HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n";
constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
}  // namespace

TEST_CASE("a request and its response travel with bodies and trailers") {
  MessagePair pair;
  auto [here, there] = pair.ask(kPost, false);
  CHECK(there->fault() == http1::Fault::kNone);
  CHECK(there->request().method_text() == "POST");
  CHECK(there->request().authority() == "shop");
  CHECK(there->request().path_and_query() == "/in");
  CHECK(there->request().connection().framing == http1::Framing::kChunked);
  CHECK(there->request().connection().te_trailers);
  pair.send(pair.client, *here, "question");
  pair.client.end(*here);
  pair.settle();
  CHECK(MessagePair::drain(pair.server, *there) == "question");
  CHECK(there->peer_ended());
  CHECK(there->trailers().empty());

  Read answer;
  pair.server.respond(*there, answer.response_head(kOk), {}, false);
  pair.send(pair.server, *there, "answer");
  http1::HeadBuilder builder;
  builder.begin(http1::HeadBuilder::Kind::kTrailers);
  builder.add("grpc-status", "0");
  http1::Fields trailers;
  REQUIRE(builder.finish(trailers) == http1::Fault::kNone);
  pair.server.end(*there, trailers);
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kResponse) == here);
  CHECK(here->response().status() == 200);
  CHECK(here->response().fields().get("content-type") == "text/plain");
  CHECK_FALSE(here->response().fields().has(http1::Name::kTransferEncoding));
  CHECK(MessagePair::drain(pair.client, *here) == "answer");
  CHECK(here->peer_ended());
  CHECK(text_of(here->trailers()) == "grpc-status: 0\n");
  CHECK(here->closed());
  CHECK(there->closed());
}

TEST_CASE("trailers that come after all data left go without an empty DATA frame before them") {
  MessagePair pair;
  auto [here, there] = pair.ask(kPost, true);
  Read answer;
  pair.server.respond(*there, answer.response_head(kOk), {}, false);
  pair.send(pair.server, *there, "answer");
  pair.settle();
  http1::HeadBuilder builder;
  builder.begin(http1::HeadBuilder::Kind::kTrailers);
  builder.add("grpc-status", "5");
  http1::Fields trailers;
  REQUIRE(builder.finish(trailers) == http1::Fault::kNone);
  pair.server.end(*there, trailers);
  const std::string output = output_of(pair.server);
  REQUIRE(output.size() > 9);
  CHECK(output[3] == kHeaders);
  CHECK((output[4] & kEndStream) != 0);
  CHECK(here->response().status() == 200);
}

TEST_CASE("a response that is only a head ends with it, as gRPC's errors do") {
  MessagePair pair;
  auto [here, there] = pair.ask(kGet, true);
  CHECK(there->head_ended());
  CHECK(there->request().connection().framing == http1::Framing::kNone);
  const http1::FieldLine fields[] = {{"content-type", "application/grpc"}, {"grpc-status", "14"}};
  pair.server.respond(*there, 200, fields, true);
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kResponse) == here);
  CHECK(here->head_ended());
  CHECK(here->response().fields().get("grpc-status") == "14");
  CHECK(here->response().connection().empty);
  CHECK(here->response().connection().framing == http1::Framing::kNone);
}

TEST_CASE("interim responses pass before the final one") {
  MessagePair pair;
  auto [here, there] = pair.ask(kPost, false);
  Read interim;
  pair.server.respond(*there, interim.response_head("HTTP/1.1 100 Continue\r\n\r\n"), {}, false);
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kResponse) == here);
  CHECK(here->response().status() == 100);
  Read answer;
  pair.server.respond(*there, answer.response_head(kOk), {}, false);
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kResponse) == here);
  CHECK(here->response().status() == 200);
}

TEST_CASE("a whole response to an unfinished request tells the client to stop, without an error") {
  MessagePair pair;
  auto [here, there] = pair.ask(kPost, false);
  const http1::FieldLine fields[] = {{"content-length", "0"}};
  pair.server.respond(*there, 413, fields, true);
  pair.server.release(*there);
  pair.settle();
  uint32_t code = 99;
  const auto events = events_of(pair.client);
  for (const auto& event : events) {
    if (event.kind == EventKind::kReset) code = event.code;
  }
  CHECK(code == 0);
  CHECK(here->response().status() == 413);
  CHECK(here->peer_ended());
  CHECK(pair.server.active_streams() == 0);
}

TEST_CASE("what a released stream still has queued goes out, though its client has not ended") {
  MessagePair pair;
  auto [here, there] = pair.ask(kPost, false);
  Read answer;
  pair.server.respond(*there, answer.response_head(kOk), {}, false);
  pair.send(pair.server, *there, std::string(200'000, 'x'));
  pair.server.end(*there);
  pair.server.release(*there);
  size_t got = 0;
  for (int i = 0; i < 20; ++i) {
    pair.settle();
    got += MessagePair::drain(pair.client, *here).size();
  }
  CHECK(got == 200'000);
  CHECK(here->peer_ended());
}

TEST_CASE("a sender waits for what the reader drains, and other streams go on meanwhile") {
  MessagePair pair;
  auto [here, there] = pair.ask(kPost, false);
  ring::Chain bytes = chain_of(pair.pool, std::string(1'000'000, 'x'));
  pair.client.send(*here, bytes);
  CHECK_FALSE(bytes.empty());
  pair.settle();
  CHECK(there->received().size() == http2::limits::kInitialWindowBytes);
  auto [other_here, other_there] = pair.ask(kGet, true);
  CHECK(other_there->request().path_and_query() == "/a?b=c");
  size_t got = 0;
  while (got < 1'000'000) {
    const size_t part = MessagePair::drain(pair.server, *there).size();
    REQUIRE(part + bytes.size() > 0);
    got += part;
    pair.client.send(*here, bytes);
    pair.settle();
    CHECK(there->received().size() <= http2::limits::kMaxWindowBytes);
  }
}

TEST_CASE("a server that leaves refuses what it has not begun, and finishes what it has") {
  MessagePair pair;
  auto [here, there] = pair.ask(kGet, true);
  pair.server.drain();
  pair.settle();
  bool told = false;
  for (const auto& event : events_of(pair.client)) told |= event.kind == EventKind::kGoaway;
  CHECK(told);
  CHECK_FALSE(pair.client.can_open());
  const http1::FieldLine fields[] = {{"content-length", "0"}};
  pair.server.respond(*there, 204, fields, true);
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kResponse) == here);
  pair.server.release(*there);
  pair.client.release(*here);
  pair.settle();
  CHECK(pair.server.finished());
  CHECK(pair.client.finished());
}

TEST_CASE("a quiet application is never asked whether it lives: gRPC's servers take that for abuse") {
  MessagePair pair;
  CHECK(pair.client.next_deadline() == http2::Clock::time_point::max());
}

TEST_CASE("of a broken connection, requests that never left it are known to be unprocessed") {
  MessagePair pair;
  auto [gone, there] = pair.ask(kGet, true);
  (void)there;
  MessageStream& waiting = pair.client.open(pair.read.request_head(kGet), {}, true);
  pair.client.abort(ResetCode::kConnectError);
  uint32_t codes[2] = {};
  for (const auto& event : events_of(pair.client)) {
    if (event.kind == EventKind::kReset) codes[event.stream == &waiting ? 1 : 0] = event.code;
  }
  CHECK(codes[0] == static_cast<uint32_t>(ResetCode::kConnectError));
  CHECK(codes[1] == static_cast<uint32_t>(ResetCode::kRefusedStream));
  CHECK(gone->closed());
}
