// Two sessions, or one and hand-written frames, with no transport between them.
#pragma once

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/unit/userspace-proxy/http2/bytes.h"
#include "tests/unit/userspace-proxy/http2/frames.h"
#include "userspace-proxy/hbone/session.h"

namespace leat::test {

using hbone::Event;
using hbone::EventKind;
using hbone::ResetCode;
using hbone::Session;
using hbone::Stream;

inline std::vector<Event> events_of(Session& session) {
  std::vector<Event> events;
  for (Event event; session.next_event(event);) events.push_back(event);
  return events;
}

// The stream of the first event of `kind`; the others are dropped.
inline Stream* stream_with(Session& session, EventKind kind, uint32_t* code = nullptr) {
  Stream* found = nullptr;
  for (const Event& event : events_of(session)) {
    if (event.kind != kind || found) continue;
    found = event.stream;
    if (code) *code = event.code;
  }
  return found;
}

// A server session and whoever sends it bytes.
struct Server {
  ring::BufferPool pool{512};
  hbone::Counters counters;
  hbone::Clock::time_point now{std::chrono::hours(1)};
  Session session{Session::Role::kServer, pool, counters, now};

  Result<void> feed(std::string_view bytes) { return session.feed(chain_of(pool, bytes), now); }
  [[nodiscard]] uint64_t breaches(hbone::Breach kind) const { return counters.breaches[static_cast<size_t>(kind)]; }
};

struct Pair {
  ring::BufferPool pool{2048};
  hbone::Counters client_counters;
  hbone::Counters server_counters;
  hbone::Clock::time_point now{std::chrono::hours(1)};
  Session client{Session::Role::kClient, pool, client_counters, now};
  Session server{Session::Role::kServer, pool, server_counters, now};

  // One way; the number of bytes that travelled.
  size_t pass(Session& from, Session& to, size_t limit = SIZE_MAX) {
    ring::Chain bytes;
    from.produce(bytes, limit);
    const size_t size = bytes.size();
    (void)to.feed(std::move(bytes), now);
    return size;
  }
  // Until both are silent.
  void settle() {
    while (pass(client, server) + pass(server, client) > 0) {
    }
  }
  // A stream that was asked for and accepted; events so far are dropped.
  std::pair<Stream*, Stream*> connect(std::string_view authority = "10.0.0.5:8080") {
    Stream& here = client.open({.authority = *SocketAddress::parse(authority)});
    settle();
    Stream* there = stream_with(server, EventKind::kConnect);
    REQUIRE(there);
    server.accept(*there, "");
    settle();
    REQUIRE(stream_with(client, EventKind::kAccepted) == &here);
    return {&here, there};
  }
  void send(Session& session, Stream& stream, std::string_view text) {
    ring::Chain bytes = chain_of(pool, text);
    session.send(stream, bytes);
    CHECK(bytes.empty());
  }
  // Takes and drains what has arrived.
  static std::string drain(Session& session, Stream& stream) {
    const ring::Chain taken = std::move(stream.received());
    session.consumed(stream, taken.size());
    return text_of(taken);
  }
};

}  // namespace leat::test
