#include "userspace-proxy/hbone/session.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "common/check.h"
#include "userspace-proxy/http2/header_list.h"

namespace leat::hbone {
namespace {

constexpr http2::SessionKind kTunnels{.name = "HBONE",
                                      .max_header_list_bytes = limits::kMaxHeaderListBytes,
                                      .header_bomb_bytes = limits::kHeaderBombBytes,
                                      .unanswered_resets = limits::kUnansweredResets,
                                      .pings = true,
                                      .answer_is_last = false};

constexpr bool is_reason_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

void put(http2::HeaderList& list, std::string_view name, std::string_view value) {
  if (!value.empty()) list.add(name, value);
}

}  // namespace

const ConnectRequest& Stream::request() const {
  LEAT_CHECK(headers_, "a stream's request is gone once it was answered");
  return headers_->request;
}

std::string_view Stream::refusal_reason() const {
  return headers_ ? std::string_view(headers_->reason) : std::string_view();
}

Session::Session(Role role, ring::BufferPool& pool, Counters& counters, Clock::time_point now)
    : http2::Session(role, kTunnels, pool, counters, now) {}

bool Session::next_event(Event& event) {
  AnyEvent any;
  const bool some = http2::Session::next_event(any);
  event = {any.kind, static_cast<Stream*>(any.stream), any.code};
  return some;
}

// ---- heads that arrive

http2::Stream* Session::make_stream() {
  auto* stream = new Stream;
  stream->headers_ = std::make_unique<Stream::Headers>();
  return stream;
}

void Session::header(http2::Stream& of, std::string_view name, std::string_view value) {
  auto& stream = static_cast<Stream&>(of);
  if (role() == Role::kClient) {
    if (head_stands(stream)) return;  // a trailer
    if (name == ":status") {
      std::from_chars(value.data(), value.data() + value.size(), stream.status_);
    } else if (name == "leat-reason" && value.size() <= limits::kMaxReasonBytes &&
               std::ranges::all_of(value, is_reason_byte)) {
      if (!stream.headers_) stream.headers_ = std::make_unique<Stream::Headers>();
      stream.headers_->reason = value;
    }
    return;
  }
  if (!stream.headers_ || stream.headers_->too_large) return;
  Stream::Headers& headers = *stream.headers_;
  const auto keep = [&](std::string& field) {
    headers.too_large |= value.size() > limits::kMaxHeaderValueBytes;
    if (field.empty() && !headers.too_large) field = value;  // the first of a repeated header
  };
  if (name == ":method") {
    headers.is_connect = value == "CONNECT";
  } else if (name == ":authority") {
    const auto authority = SocketAddress::parse(value);
    headers.has_authority = authority.has_value();
    headers.request.authority = authority.value_or(SocketAddress{});
  } else if (name == "baggage") {
    keep(headers.request.baggage);
  } else if (name == "forwarded") {
    keep(headers.request.forwarded);
  } else if (name == "traceparent") {
    keep(headers.request.traceparent);
  }
}

bool Session::head_is_whole(http2::Stream& of, bool too_large, bool) {
  auto& stream = static_cast<Stream&>(of);
  if (role() == Role::kServer) {
    stream.headers_->too_large |= too_large;
    request_is_whole(stream);
    return true;
  }
  if (stream.status_ < 200) return false;
  if (stream.status_ < 300) {
    deliver(stream, EventKind::kAccepted);
    let_go(stream);
  } else {
    deliver(stream, EventKind::kRefused, stream.status_);
    mute(stream);
  }
  return true;
}

// A request that is none for us is answered here: flows see only well-formed ones.
void Session::request_is_whole(Stream& stream) {
  const Stream::Headers& headers = *stream.headers_;
  const auto [breach, status] = [&]() -> std::pair<Breach, uint16_t> {
    if (headers.too_large) return {Breach::kHeaderList, 431};
    if (!headers.is_connect) return {Breach::kNotConnect, 400};
    if (!headers.has_authority) return {Breach::kAuthority, 400};
    return {Breach::kCount, 0};
  }();
  if (breach == Breach::kCount) return deliver(stream, EventKind::kConnect);
  if (!count_bad_request(breach)) return;
  refuse(stream, status, "bad-request");
  release(stream);
}

// ---- streams

Stream& Session::open(const ConnectRequest& request, ring::Chain early) {
  auto* stream = new Stream;
  hold(*stream, std::move(early));
  const std::string authority = request.authority.text();
  http2::HeaderList headers;
  put(headers, ":method", "CONNECT");
  put(headers, ":authority", authority);
  put(headers, "baggage", request.baggage);
  put(headers, "forwarded", request.forwarded);
  put(headers, "traceparent", request.traceparent);
  ask(stream, headers, false);
  return *stream;
}

void Session::accept(Stream& stream, std::string_view baggage) {
  if (stream.closed()) return;
  http2::HeaderList headers;
  put(headers, ":status", "200");
  put(headers, "baggage", baggage);
  answer(stream, headers, false);
  stream.headers_.reset();
  ++counters_.streams_accepted;
}

void Session::refuse(Stream& stream, uint16_t status, std::string_view reason) {
  if (stream.closed()) return;
  const std::string text = std::to_string(status);
  http2::HeaderList headers;
  put(headers, ":status", text);
  put(headers, "leat-reason", reason);
  answer(stream, headers, true);
  dismiss(stream);
  stream.headers_.reset();
  ++counters_.streams_refused;
}

}  // namespace leat::hbone
