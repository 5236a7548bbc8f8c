#include "userspace-proxy/http2/message_session.h"

#include <fmt/format.h>

#include "userspace-proxy/http2/header_list.h"

namespace leat::http2 {
namespace {

using http1::Fault;

constexpr SessionKind kMessages{.name = "HTTP/2",
                                .max_header_list_bytes = limits::kMaxHeaderListBytes,
                                .header_bomb_bytes = limits::kHeaderBombBytes,
                                .unanswered_resets = limits::kUnansweredCalls,
                                .pings = false,
                                .answer_is_last = true};

}  // namespace

MessageSession::MessageSession(Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now)
    : Session(role, kMessages, pool, counters, now) {}

bool MessageSession::next_event(Event& event) {
  AnyEvent any;
  const bool some = Session::next_event(any);
  event = {any.kind, static_cast<MessageStream*>(any.stream), any.code};
  return some;
}

// ---- what arrives

void MessageSession::block_begins(Stream& of) {
  using Kind = http1::HeadBuilder::Kind;
  builder_.begin(head_stands(of) ? Kind::kTrailers : role() == Role::kServer ? Kind::kRequest : Kind::kResponse);
}

void MessageSession::header(Stream&, std::string_view name, std::string_view value) { builder_.add(name, value); }

// What is wrong with a head is the owner's to answer: he has the words for it.
bool MessageSession::head_is_whole(Stream& of, bool too_large, bool end) {
  auto& stream = static_cast<MessageStream&>(of);
  stream.head_ended_ = end;
  const bool server = role() == Role::kServer;
  stream.fault_ =
      server ? builder_.finish(stream.request_, end) : builder_.finish(stream.response_, stream.asked_, end);
  if (too_large) stream.fault_ = Fault::kHeadTooLarge;
  if (server && stream.fault_ != Fault::kNone &&
      !count_bad_request(too_large ? Breach::kHeaderList : Breach::kMalformed))
    return true;
  deliver(stream, server ? EventKind::kRequest : EventKind::kResponse);
  return server || stream.fault_ != Fault::kNone || !stream.response_.interim();
}

void MessageSession::trailers_are_whole(Stream& of, bool too_large) {
  auto& stream = static_cast<MessageStream&>(of);
  if (builder_.finish(stream.trailers_) != Fault::kNone || too_large) reset(stream, ResetCode::kProtocolError);
}

// ---- what is sent

MessageStream& MessageSession::open(const http1::RequestHead& head, const http1::RequestEdits& edits, bool ended) {
  auto* stream = new MessageStream;
  stream->asked_ = {.head = head.method() == http1::Method::kHead,
                    .connect = head.method() == http1::Method::kConnect,
                    .upgrade = false};
  HeaderList list;
  add_request(list, head, edits);
  ask(stream, list, ended);
  let_go(*stream);
  return *stream;
}

void MessageSession::respond(MessageStream& stream, const http1::ResponseHead& head, const http1::Edits& edits,
                             bool ended) {
  HeaderList list;
  add_response(list, head, edits);
  head.interim() ? say(stream, list) : answer(stream, list, ended);
}

void MessageSession::respond(MessageStream& stream, uint16_t status, std::span<const http1::FieldLine> fields,
                             bool ended) {
  const fmt::format_int text(status);
  HeaderList list;
  list.add(":status", {text.data(), text.size()});
  for (const http1::FieldLine& field : fields) list.add(field.name, field.value);
  answer(stream, list, ended);
}

void MessageSession::end(MessageStream& stream, const http1::Fields& trailers) {
  if (!trailers.empty()) {
    stream.own_trailers_ = trailers;
    end_with_trailers(stream);
  }
  Session::end(stream);
}

void MessageSession::add_trailers(Stream& of, HeaderList& list) {
  http2::add_trailers(list, static_cast<MessageStream&>(of).own_trailers_);
}

}  // namespace leat::http2
