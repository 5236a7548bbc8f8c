// Two sessions of HTTP messages, or one and hand-written frames, with no transport between them.
#pragma once

#include <vector>

#include "tests/unit/userspace-proxy/http2/bytes.h"
#include "tests/unit/userspace-proxy/http2/frames.h"
#include "userspace-proxy/http1/reader.h"
#include "userspace-proxy/http2/message_session.h"

namespace leat::test {

using http2::EventKind;
using http2::MessageSession;
using http2::MessageStream;
using http2::ResetCode;
using Role = http2::Session::Role;

inline std::vector<MessageSession::Event> events_of(MessageSession& session) {
  std::vector<MessageSession::Event> events;
  for (MessageSession::Event event; session.next_event(event);) events.push_back(event);
  return events;
}

// The stream of the first event of `kind`; the others are dropped.
inline MessageStream* stream_with(MessageSession& session, EventKind kind, uint32_t* code = nullptr) {
  MessageStream* found = nullptr;
  for (const auto& event : events_of(session)) {
    if (event.kind != kind || found) continue;
    found = event.stream;
    if (code) *code = event.code;
  }
  return found;
}

// Heads as HTTP/1.1 brings them: what the writers are given in a translation.
struct Read {
  ring::BufferPool pool{64};
  http1::RequestReader request;
  http1::ResponseReader response;

  const http1::RequestHead& request_head(std::string_view text) {
    ring::Chain input = chain_of(pool, text);
    ring::Chain body;
    request.next();
    REQUIRE(request.read(input, body) == http1::Step::kHead);
    return request.head();
  }
  const http1::ResponseHead& response_head(std::string_view text) {
    ring::Chain input = chain_of(pool, text);
    ring::Chain body;
    response.next({});
    REQUIRE(response.read(input, body) == http1::Step::kHead);
    return response.head();
  }
};

inline std::string text_of(const http1::Fields& fields) {
  std::string text;
  for (const http1::Field& field : fields.all())
    text.append(fields.name(field)).append(": ").append(fields.value(field)).append("\n");
  return text;
}

struct MessageServer {
  ring::BufferPool pool{512};
  http2::Counters counters;
  http2::Clock::time_point now{std::chrono::hours(1)};
  MessageSession session{Role::kServer, pool, counters, now};

  Result<void> feed(std::string_view bytes) { return session.feed(chain_of(pool, bytes), now); }
  [[nodiscard]] uint64_t breaches(http2::Breach kind) const { return counters.breaches[static_cast<size_t>(kind)]; }
};

// A server past the preface, its own frames taken.
struct OpenServer : MessageServer {
  OpenServer() {
    REQUIRE(feed(std::string(kPreface) + settings({}) + frame(kSettings, kAck, 0, "")));
    (void)output_of(session);
  }
};

struct MessagePair {
  ring::BufferPool pool{2048};
  http2::Counters client_counters;
  http2::Counters server_counters;
  http2::Clock::time_point now{std::chrono::hours(1)};
  MessageSession client{Role::kClient, pool, client_counters, now};
  MessageSession server{Role::kServer, pool, server_counters, now};
  Read read;

  size_t pass(MessageSession& from, MessageSession& to) {
    ring::Chain bytes;
    from.produce(bytes, SIZE_MAX);
    const size_t size = bytes.size();
    (void)to.feed(std::move(bytes), now);
    return size;
  }
  void settle() {
    while (pass(client, server) + pass(server, client) > 0) {
    }
  }
  void send(MessageSession& session, MessageStream& stream, std::string_view text) {
    ring::Chain bytes = chain_of(pool, text);
    session.send(stream, bytes);
  }
  // A request that has arrived: here and there.
  std::pair<MessageStream*, MessageStream*> ask(std::string_view text, bool ended) {
    MessageStream& here = client.open(read.request_head(text), {}, ended);
    settle();
    MessageStream* there = stream_with(server, EventKind::kRequest);
    REQUIRE(there);
    return {&here, there};
  }
  static std::string drain(MessageSession& session, MessageStream& stream) {
    const ring::Chain taken = std::move(stream.received());
    session.consumed(stream, taken.size());
    return text_of(taken);
  }
};

}  // namespace leat::test
