#include "userspace-proxy/flow/http_exchange.h"

#include "userspace-proxy/flow/when_blocks.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

using http1::Fault;
using http1::Framing;
using http1::Step;

HttpExchange::HttpExchange(Worker& worker, FlowRecord& record, HttpClient& client)
    : worker_(worker), record_(record), client_(client), messages_(worker.http_messages) {}

HttpExchange::~HttpExchange() { client_.on_early({}); }

// ---- the request's head

HttpExchange::Head HttpExchange::take(ring::Chain bytes) {
  http1::RequestReader& reader = messages_->request;
  input_ = std::move(bytes);
  Step step = reader.read(input_, body_);
  if (step == Step::kHead) step = reader.read(input_, body_);  // what came with it of the body
  if (step == Step::kFault) return Head::kFault;
  if (!reader.has_head()) return Head::kPartial;
  name_host();
  return Head::kWhole;
}

HttpExchange::Head HttpExchange::take_end() {
  return messages_->request.read_end() == Step::kFault ? Head::kFault : Head::kPartial;
}

// ---- a try

void HttpExchange::keep_repeatable() {
  const http1::Connection& connection = request().connection();
  keeps_body_ = connection.framing != Framing::kLength || connection.content_length <= limits::kReplayBytes;
}

ring::Task<HttpExchange::End> HttpExchange::try_at(UpstreamPtr upstream) {
  upstream_ = std::move(upstream);
  messages_->response.next(asked_by(request()));
  sent_ = unsent_ = too_late_ = stopping_ = false;
  code_ = 0;
  if (deadlines_.any()) watch_time();

  co_await send_request();
  const End end = co_await relay_response();
  if (pumping_) co_await stop_pump();
  timer_.reset();
  const bool at_once = client_gone_ || too_late_ || end == End::kUnwanted;
  if (upstream_ && end != End::kUpgraded) worker_.upstreams.end(std::move(upstream_), at_once);
  co_return end;
}

// With its whole request here, the client is watched meanwhile.
ring::Task<bool> HttpExchange::pause(ring::Clock::time_point until) {
  if (client_gone_) co_return false;
  if (request_is_whole()) watch_client();
  ring::Signal over;
  paused_ = &over;
  ring::Timer timer(worker_.loop.timers(), [this] {
    if (paused_) std::exchange(paused_, nullptr)->set();
  });
  timer.arm(until);
  co_await over.wait();
  co_return !client_gone_;
}

// ---- time

void HttpExchange::watch_time() {
  if (!timer_) timer_.emplace(worker_.loop.timers(), [this] { time_is_up(); });
  if (deadlines_.next() == Deadlines::kNever) return timer_->cancel();
  timer_->arm(deadlines_.next());
}

// Of a response that the upstream has sent whole, the rest is the client's affair.
void HttpExchange::time_is_up() {
  if (!upstream_) return;
  too_late_ = true;
  if (delivered_) client_.reset();
  upstream_->stream.reset();
}

// ---- the request

// Of its body, what has come so far; the rest is pumped beside the response.
ring::Task<void> HttpExchange::send_request() {
  ring::Chain out;
  co_await when_blocks(worker_.loop, [&] { return put_request_head(out); });
  if (std::exchange(tried_, true)) {
    body_.clear();
    co_await when_blocks(worker_.loop, [&] { return put_replay(); });
  } else {
    keep_body();
  }
  co_await when_blocks(worker_.loop, [&] { return put_request_body(out); });
  record_.bytes.a_to_b += out.size();
  unsent_ = !co_await upstream_->stream.send(std::move(out));
  if (request_is_whole()) {
    request_is_sent();
  } else if (!unsent_) {
    pump_request();
  }
}

void HttpExchange::keep_body() {
  if (keeps_body_) messages_->replay.add(body_, worker_.replay_bytes);
}

// May be called again where it failed in its midst.
bool HttpExchange::put_replay() {
  return body_.append_copy(worker_.loop.buffers(), messages_->replay.bytes().subspan(body_.size()));
}

// HTTP/1.1 wants a Host, HTTP/1.0 need not have one.
void HttpExchange::name_host() {
  if (request().authority().empty()) request_edits_.set("host", request_edits_.keep(record_.requested.text()));
}

bool HttpExchange::put_request_head(ring::Chain& out) const {
  return http1::write_request(out, worker_.loop.buffers(), request(),
                              {.target = request_edits_.target(), .fields = request_edits_.fields()});
}

// May be called again where it failed in its midst.
bool HttpExchange::put_request_body(ring::Chain& out) {
  if (request().connection().framing != Framing::kChunked) {
    out.append(std::move(body_));
    return true;
  }
  const http1::RequestReader& reader = messages_->request;
  ring::BufferPool& pool = worker_.loop.buffers();
  return http1::write_chunk(out, pool, body_) &&
         (!reader.ended() || http1::write_last_chunk(out, pool, reader.trailers()));
}

// The body that did not come with the head. A failed write is not the end: the server may have answered before it
// closed.
ring::Detached HttpExchange::pump_request() {
  pumping_ = true;
  for (Step step = Step::kNeedMore; step == Step::kNeedMore && !unsent_;) {
    ring::IoResult<ring::Chain> got = co_await client_.recv();
    if (stopping_) break;
    if (!got) {
      client_failed();
      break;
    }
    input_ = std::move(*got);
    step = input_.empty() ? messages_->request.read_end() : messages_->request.read(input_, body_);
    if (step == Step::kFault) {
      upstream_->stream.reset();
      break;
    }
    keep_body();
    ring::Chain out;
    co_await when_blocks(worker_.loop, [&] { return put_request_body(out); });
    record_.bytes.a_to_b += out.size();
    unsent_ = !co_await upstream_->stream.send(std::move(out));
  }
  pumping_ = false;
  if (request_is_whole()) {
    deadlines_.request_is_whole(worker_.loop.now());
    if (timer_ && !stopping_) watch_time();
    request_is_sent();
  }
  if (stopping_) pump_ended_.set();
}

// The response is over before the request: what is missing of it is not wanted any more.
ring::Task<void> HttpExchange::stop_pump() {
  stopping_ = true;
  upstream_->stream.reset();
  client_.abandon();
  if (pumping_) co_await pump_ended_.wait();
}

void HttpExchange::request_is_sent() {
  sent_ = true;
  watch_client();
  if (half_closed_) upstream_->stream.finish();
}

// For its next request, its end, its reset.
void HttpExchange::watch_client() {
  client_.put_back(std::move(input_));
  client_.on_early([this] { client_spoke(); });
  client_.watch();
}

void HttpExchange::client_spoke() {
  const ring::IoResult<ring::Chain>& ahead = *client_.ahead();
  if (!ahead) return client_failed();
  if (!ahead->empty()) return;  // its next request
  half_closed_ = true;
  if (sent_ && upstream_) upstream_->stream.finish();
}

void HttpExchange::client_failed() {
  client_gone_ = true;
  if (upstream_) upstream_->stream.reset();
  if (paused_) std::exchange(paused_, nullptr)->set();
}

// ---- the response

ring::Task<HttpExchange::End> HttpExchange::relay_response() {
  http1::ResponseReader& reader = messages_->response;
  ring::Chain input;
  ring::Chain body;
  for (;;) {
    ring::IoResult<ring::Chain> got = co_await upstream_->stream.recv();
    if (!got) co_return end_of_failure();
    const bool ended = got->empty();
    input = std::move(*got);
    ring::Chain out;
    Step step = ended ? reader.read_end() : reader.read(input, body);
    for (; step == Step::kHead; step = reader.read(input, body)) {
      if (reader.head().interim() && ++interims_ > limits::kInterimResponses) co_return End::kBadResponse;
      if (is_unwanted(reader.head())) {
        if (reader.read(input, body) == Step::kEnd) give_back_upstream(input);
        co_return End::kUnwanted;
      }
      co_await when_blocks(worker_.loop, [&] { return put_response_head(out); });
    }
    if (step == Step::kFault || (ended && step == Step::kNeedMore)) co_return end_of_failure();
    co_await when_blocks(worker_.loop, [&] { return put_response_body(out, body); });

    const bool switches = step == Step::kEnd && code_ == 101;
    if (switches) {
      upstream_->stream.put_back(std::move(input));
    } else if (step == Step::kEnd) {
      give_back_upstream(input);
    }
    if (!out.empty() && !co_await deliver(std::move(out))) co_return too_late_ ? End::kCutShort : End::kClientGone;
    if (step == Step::kEnd) co_return switches ? End::kUpgraded : End::kAnswered;
  }
}

bool HttpExchange::is_unwanted(const http1::ResponseHead& head) const {
  return unwanted_ && !head.interim() && !client_gone_ && !too_late_ && unwanted_(head);
}

// Its response was read to the end. `left`: what the upstream has said beyond it.
void HttpExchange::give_back_upstream(const ring::Chain& left) {
  if (left.empty() && upstream_is_reusable()) worker_.upstreams.put(std::move(upstream_));
}

bool HttpExchange::put_response_head(ring::Chain& out) {
  const http1::ResponseHead& head = messages_->response.head();
  const http1::Connection& asked = request().connection();
  if (head.interim()) return asked.http10 || http1::write_response(out, worker_.loop.buffers(), head, client_side());
  code_ = head.status();
  if (timer_) {
    deadlines_.response_has_begun();
    watch_time();
  }
  keep_alive_ = asked.keep_alive && request_is_whole() && !half_closed_ && !worker_.http.draining() && code_ != 101 &&
                http1::framing_for(head, client_side()) != Framing::kUntilClose;
  return http1::write_response(out, worker_.loop.buffers(), head, client_side(), response_edits_.fields());
}

// May be called again where it failed in its midst.
bool HttpExchange::put_response_body(ring::Chain& out, ring::Chain& body) const {
  const http1::ResponseReader& reader = messages_->response;
  if (!reader.has_head() || http1::framing_for(reader.head(), client_side()) != Framing::kChunked) {
    out.append(std::move(body));
    return true;
  }
  ring::BufferPool& pool = worker_.loop.buffers();
  return http1::write_chunk(out, pool, body) &&
         (!reader.ended() || http1::write_last_chunk(out, pool, reader.trailers()));
}

ring::Task<bool> HttpExchange::deliver(ring::Chain out) {
  delivered_ |= code_ != 0;
  record_.bytes.b_to_a += out.size();
  const ring::IoResult<void> sent = co_await client_.send(std::move(out));
  if (!sent) client_failed();
  co_return sent.has_value();
}

HttpExchange::End HttpExchange::end_of_failure() const {
  if (client_gone_ && !too_late_) return End::kClientGone;
  if (delivered_) return End::kCutShort;
  if (fault() != Fault::kNone) return End::kBadRequest;
  if (too_late_) return End::kTooLate;
  if (messages_->response.started()) return End::kBadResponse;
  return upstream_->stream.stream().unprocessed() ? End::kUnprocessed : End::kUnanswered;
}

bool HttpExchange::upstream_is_reusable() const {
  return messages_->response.head().connection().keep_alive && sent_ && !unsent_ && !half_closed_;
}

http1::Client HttpExchange::client_side() const { return {request().connection().http10, keep_alive_}; }

// ---- answers made here

ring::Task<bool> HttpExchange::answer(const LocalAnswer& answer) {
  const http1::RequestReader& reader = messages_->request;
  const bool valid = reader.has_head() && reader.fault() == Fault::kNone;
  keep_alive_ = valid && reader.ended() && request().connection().keep_alive && !worker_.http.draining();
  code_ = answer.status;
  ring::Chain out;
  co_await when_blocks(worker_.loop, [&] {
    return http1::write_local_response(out, worker_.loop.buffers(),
                                       {.status = answer.status,
                                        .reason = worker_.mesh()->settings().no_reason_header() ? "" : answer.label,
                                        .location = answer.location,
                                        .body = answer.text,
                                        .bodiless = valid && request().method() == http1::Method::kHead,
                                        .edits = response_edits_.fields()},
                                       client_side());
  });
  client_.put_back(std::move(input_));
  co_return co_await deliver(std::move(out));
}

}  // namespace leat::proxy
