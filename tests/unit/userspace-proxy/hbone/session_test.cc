#include "session_pair.h"

#include <random>

using namespace leat::test;
using namespace std::chrono_literals;
using leat::SocketAddress;
namespace limits = leat::hbone::limits;

TEST_CASE("a CONNECT arrives with its headers and its acceptance comes back") {
  Pair pair;
  Stream& here = pair.client.open(
      {*SocketAddress::parse("[fd00::5]:8080"), "service.name=a", "for=\"10.0.0.1:4711\"", "00-1-2-00"});
  pair.settle();
  Stream* there = stream_with(pair.server, EventKind::kConnect);
  REQUIRE(there);
  CHECK(there->request().authority.text() == "[fd00::5]:8080");
  CHECK(there->request().baggage == "service.name=a");
  CHECK(there->request().forwarded == "for=\"10.0.0.1:4711\"");
  CHECK(there->request().traceparent == "00-1-2-00");
  pair.server.accept(*there, "service.name=b");
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kAccepted) == &here);
  CHECK(pair.client.active_streams() == 1);
}

TEST_CASE("a refusal carries its status and reason, and frees the stream on both sides") {
  Pair pair;
  Stream& here = pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  pair.send(pair.client, here, "early");
  pair.settle();
  Stream* there = stream_with(pair.server, EventKind::kConnect);
  pair.server.refuse(*there, 503, "no-endpoint");
  pair.server.release(*there);
  pair.settle();
  uint32_t status = 0;
  CHECK(stream_with(pair.client, EventKind::kRefused, &status) == &here);
  CHECK(status == 503);
  CHECK(here.refusal_reason() == "no-endpoint");
  pair.client.release(here);
  pair.settle();
  CHECK(pair.client.active_streams() == 0);
  CHECK(pair.server.active_streams() == 0);
  CHECK(events_of(pair.client).empty());
}

TEST_CASE("bytes queued before the answer leave after it, in order") {
  Pair pair;
  Stream& here = pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  pair.send(pair.client, here, "one ");
  pair.settle();
  Stream* there = stream_with(pair.server, EventKind::kConnect);
  REQUIRE(there);
  CHECK(there->received().empty());
  pair.server.accept(*there, "");
  pair.send(pair.client, here, "two");
  pair.settle();
  CHECK(Pair::drain(pair.server, *there) == "one two");
}

TEST_CASE("early bytes leave with the CONNECT, and what is sent after them waits for the answer") {
  Pair pair;
  Stream& here = pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")}, chain_of(pair.pool, "one "));
  pair.send(pair.client, here, "two");
  pair.client.end(here);
  pair.settle();
  Stream* there = stream_with(pair.server, EventKind::kConnect);
  REQUIRE(there);
  CHECK(text_of(there->received()) == "one ");
  CHECK_FALSE(there->peer_ended());
  pair.server.accept(*there, "");
  pair.settle();
  CHECK(Pair::drain(pair.server, *there) == "one two");
  CHECK(there->peer_ended());
}

TEST_CASE("early bytes that one write can't take whole go on, and wait for nothing") {
  Pair pair;
  const std::string text(40'000, 'x');
  (void)pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")}, chain_of(pair.pool, text));
  while (pair.pass(pair.client, pair.server, 5000) > 0) {
  }
  Stream* there = stream_with(pair.server, EventKind::kConnect);
  REQUIRE(there);
  CHECK(text_of(there->received()) == text);
}

TEST_CASE("each side's end is its own: bytes still flow the other way, then both close cleanly") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.send(pair.client, *here, "request");
  pair.client.end(*here);
  pair.settle();
  const auto events = events_of(pair.server);
  REQUIRE(events.size() == 2);
  CHECK(events[0].kind == EventKind::kReadable);
  CHECK(events[1].kind == EventKind::kEnded);
  CHECK(Pair::drain(pair.server, *there) == "request");
  pair.send(pair.server, *there, "response");
  pair.server.end(*there);
  pair.settle();
  CHECK(stream_with(pair.server, EventKind::kClosed) == there);
  const auto last = events_of(pair.client);
  REQUIRE(last.size() == 3);
  CHECK(last[0].kind == EventKind::kReadable);
  CHECK(last[1].kind == EventKind::kEnded);
  CHECK(last[2].kind == EventKind::kClosed);
  CHECK(text_of(here->received()) == "response");
  pair.client.release(*here);
  pair.server.release(*there);
  CHECK(pair.client.active_streams() == 0);
}

TEST_CASE("a released stream whose ends are both said still delivers what was queued") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.client.end(*here);
  pair.settle();
  pair.send(pair.server, *there, "last words");
  pair.server.end(*there);
  pair.server.release(*there);
  pair.settle();
  CHECK(text_of(here->received()) == "last words");
  CHECK(here->closed());
}

TEST_CASE("a stream that is given up early is reset, and a reset is told from an end") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.server.reset(*there, ResetCode::kConnectError);
  pair.server.release(*there);
  pair.settle();
  uint32_t code = 0;
  CHECK(stream_with(pair.client, EventKind::kReset, &code) == here);
  CHECK(code == static_cast<uint32_t>(ResetCode::kConnectError));
  auto [second, other] = pair.connect();
  pair.client.release(*second);
  pair.settle();
  CHECK(stream_with(pair.server, EventKind::kReset, &code) == other);
  CHECK(code == static_cast<uint32_t>(ResetCode::kCancel));
}

TEST_CASE("a stream reset before anybody saw it is never announced") {
  Pair pair;
  Stream& here = pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  pair.pass(pair.client, pair.server);
  pair.client.release(here);
  pair.settle();
  for (const Event& event : events_of(pair.server)) CHECK(event.stream == nullptr);
  CHECK(pair.server.active_streams() == 0);
}

TEST_CASE("megabytes arrive as they were sent, whatever the sizes of slices and steps") {
  Pair pair;
  auto [here, there] = pair.connect();
  std::minstd_rand random(11);
  std::string sent(3'000'000, ' ');
  for (char& c : sent) c = static_cast<char>(random());
  std::string received;
  size_t offered = 0;
  leat::ring::Chain waiting;
  for (int step = 0; received.size() < sent.size(); ++step) {
    REQUIRE(step < 100000);
    if (waiting.empty() && offered < sent.size()) {
      const size_t size = std::min<size_t>(1 + random() % 40000, sent.size() - offered);
      waiting = chain_of(pair.pool, std::string_view(sent).substr(offered, size));
      offered += size;
    }
    pair.client.send(*here, waiting);
    pair.pass(pair.client, pair.server, 1 + random() % 100000);
    received += Pair::drain(pair.server, *there);
    pair.pass(pair.server, pair.client);
  }
  CHECK(received == sent);
}

TEST_CASE("a reader that does not drain holds its own window, and no other stream") {
  Pair pair;
  auto [slow_here, slow_there] = pair.connect();
  auto [here, there] = pair.connect();
  leat::ring::Chain flood = chain_of(pair.pool, std::string(1'000'000, 'x'));
  for (int i = 0; i < 20; ++i) {
    pair.client.send(*slow_here, flood);
    pair.settle();
  }
  CHECK(slow_there->received().size() == limits::kInitialWindowBytes);
  CHECK_FALSE(flood.empty());
  CHECK(slow_here->queued() == limits::kSendQueueBytes);
  std::string got;
  for (int i = 0; i < 300; ++i) {  // ten times the connection's window, past the stalled stream
    pair.send(pair.client, *here, std::string(60'000, 'y'));
    pair.settle();
    got = Pair::drain(pair.server, *there);
    REQUIRE(got.size() == 60'000);
  }
  // Once it drains, the sender is told to go on.
  (void)events_of(pair.client);
  while (slow_here->queued() > limits::kSendQueueBytes / 2) {
    Pair::drain(pair.server, *slow_there);
    pair.settle();
  }
  CHECK(stream_with(pair.client, EventKind::kWritable) == slow_here);
}

TEST_CASE("a fast reader's window grows to its limit, a slow one's does not, and the tunnel's budget holds") {
  Pair pair;
  const auto fill = [&](Stream& here, Stream& there, std::chrono::milliseconds pause) {
    for (int i = 0; i < 40; ++i) {
      pair.now += pause;
      leat::ring::Chain bytes = chain_of(pair.pool, std::string(70'000, 'x'));
      pair.client.send(here, bytes);
      pair.settle();
      Pair::drain(pair.server, there);
      pair.settle();
    }
    leat::ring::Chain flood = chain_of(pair.pool, std::string(2'000'000, 'x'));
    size_t held = 0;
    do {
      held = there.received().size();
      pair.client.send(here, flood);
      pair.settle();
    } while (there.received().size() > held);
    return held;
  };
  std::vector<std::pair<Stream*, Stream*>> streams;
  size_t total = 0;
  for (int i = 0; i < 12; ++i) {
    streams.push_back(pair.connect());
    const size_t held = fill(*streams.back().first, *streams.back().second, i == 0 ? 1000ms : 1ms);
    total += held;
    if (i == 0) CHECK(held == limits::kInitialWindowBytes);
    if (i == 1) CHECK(held > limits::kMaxWindowBytes * 3 / 4);  // up to a quarter is drained and not yet given back
    streams.back().second->received().clear();                  // held back from the wire, not from this test's pool
  }
  CHECK(total <= 12 * limits::kInitialWindowBytes + limits::kWindowBudgetBytes);
}

TEST_CASE("output is made in the portions that are asked for, and a reset between two is safe") {
  Pair pair;
  std::vector<Stream*> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(pair.connect().first);
    pair.send(pair.client, *streams.back(), std::string(60'000, 'x'));
  }
  leat::ring::Chain out;
  pair.client.produce(out, 1000);
  CHECK(out.size() <= 1000 + 9 + 16384);
  for (Stream* stream : streams) pair.client.reset(*stream, ResetCode::kCancel);
  CHECK(pair.server.feed(std::move(out), pair.now));
  pair.settle();
  CHECK(pair.server.active_streams() == 0);
}

TEST_CASE("a session that breaks between two portions of output sends no more of its streams") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.send(pair.client, *here, std::string(60'000, 'x'));
  leat::ring::Chain out;
  pair.client.produce(out, 1000);
  pair.client.abort(ResetCode::kConnectError);
  pair.client.release(*here);
  CHECK(output_of(pair.client).size() < 1000);
}

TEST_CASE("small messages that wait share blocks") {
  Pair pair;
  auto [here, there] = pair.connect();
  const uint32_t before = pair.pool.free_blocks();
  for (int i = 0; i < 500; ++i) {
    pair.send(pair.client, *here, std::string(60, 'x'));
    pair.pass(pair.client, pair.server);
  }
  CHECK(there->received().size() == 30000);
  CHECK(before - pair.pool.free_blocks() <= 4);
}

TEST_CASE("a drained server takes no new streams, finishes the old ones, and is then finished") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.server.drain();
  pair.settle();
  CHECK(events_of(pair.client).front().kind == EventKind::kGoaway);
  CHECK_FALSE(pair.client.can_open());
  CHECK_FALSE(pair.server.finished());
  pair.send(pair.client, *here, "still here");
  pair.settle();
  CHECK(Pair::drain(pair.server, *there) == "still here");
  pair.client.end(*here);
  pair.server.end(*there);
  pair.settle();
  CHECK(pair.server.finished());
  CHECK(pair.client.finished());
}

TEST_CASE("a stream that crossed the server's first GOAWAY is still served") {
  Pair pair;
  pair.settle();
  pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  pair.server.drain();
  pair.settle();
  Stream* there = stream_with(pair.server, EventKind::kConnect);
  REQUIRE(there);
  pair.server.accept(*there, "");
  pair.settle();
  CHECK(stream_with(pair.client, EventKind::kAccepted));
}

TEST_CASE("a stream that could not leave before GOAWAY came is refused once, and the others live on") {
  Pair pair;
  auto [here, there] = pair.connect();
  Stream& late = pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  pair.server.drain();
  pair.pass(pair.server, pair.client);
  pair.settle();
  uint32_t code = 0;
  CHECK(stream_with(pair.client, EventKind::kReset, &code) == &late);
  CHECK(code == static_cast<uint32_t>(ResetCode::kRefusedStream));
  CHECK(pair.client.active_streams() == 1);
  CHECK_FALSE(pair.client.finished());
  pair.client.release(late);
  pair.send(pair.client, *here, "still here");
  pair.settle();
  CHECK(Pair::drain(pair.server, *there) == "still here");
}

TEST_CASE("a drained client is finished when its streams are") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.client.drain();
  pair.settle();
  CHECK_FALSE(pair.client.can_open());
  CHECK_FALSE(pair.client.finished());
  pair.client.release(*here);
  pair.settle();
  CHECK(pair.client.finished());
  CHECK(pair.server.finished());
}

TEST_CASE("a silent peer is asked after 10 s and given up 20 s later; any byte is an answer") {
  Pair pair;
  auto [here, there] = pair.connect();
  CHECK(pair.client.next_deadline() == pair.now + limits::kPingInterval);
  pair.now += limits::kPingInterval;
  CHECK(pair.client.on_time(pair.now));
  CHECK(pair.client.wants_produce());
  pair.settle();
  CHECK(pair.client.next_deadline() == pair.now + limits::kPingInterval);

  pair.now += limits::kPingInterval;
  CHECK(pair.client.on_time(pair.now));
  (void)output_of(pair.client);  // lost
  pair.now += limits::kPingTimeout - 1s;
  CHECK(pair.client.on_time(pair.now));
  pair.now += 1s;
  const auto result = pair.client.on_time(pair.now);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == leat::ErrorCode::kTimeout);
  CHECK(stream_with(pair.client, EventKind::kReset) == here);
  CHECK(pair.client.finished());
}

TEST_CASE("the peer's stream limit is honoured") {
  Pair pair;
  pair.settle();
  (void)events_of(pair.client);
  CHECK(pair.client.max_streams() == limits::kMaxStreams);
  while (pair.client.can_open()) pair.client.open({.authority = *SocketAddress::parse("10.0.0.5:80")});
  CHECK(pair.client.active_streams() == limits::kMaxStreams);
  pair.settle();
  CHECK(pair.server.active_streams() == limits::kMaxStreams);
}

TEST_CASE("when the transport breaks every stream is told, and may be released in any order") {
  Pair pair;
  auto [one, one_there] = pair.connect();
  auto [two, two_there] = pair.connect();
  pair.client.abort(ResetCode::kConnectError);
  const auto events = events_of(pair.client);
  CHECK(events.size() == 2);
  for (const Event& event : events) CHECK(event.kind == EventKind::kReset);
  CHECK(pair.client.finished());
  pair.client.release(*one);
  leat::ring::Chain late = chain_of(pair.pool, "late");
  pair.client.send(*two, late);
  pair.client.end(*two);
  pair.client.consumed(*two, 0);
  (void)output_of(pair.client);
}

TEST_CASE("a dry pool delays frames and corrupts none") {
  Pair pair;
  auto [here, there] = pair.connect();
  pair.send(pair.client, *here, std::string(50'000, 'x'));
  {
    std::vector<leat::ring::Buffer> hoard;
    while (pair.pool.free_blocks() > 2) hoard.push_back(pair.pool.allocate());
    CHECK(pair.pass(pair.client, pair.server) == 0);
    CHECK(pair.client.wants_produce());
  }
  pair.settle();
  CHECK(Pair::drain(pair.server, *there) == std::string(50'000, 'x'));
}
