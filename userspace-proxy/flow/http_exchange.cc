#include "userspace-proxy/flow/http_exchange.h"

#include "userspace-proxy/flow/reply_hold.h"
#include "userspace-proxy/flow/when_blocks.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

using http1::Fault;
using http1::Framing;
using http1::Step;

HttpExchange::HttpExchange(Worker& worker, FlowRecord& record, HttpClient& client)
    : worker_(worker),
      record_(record),
      client_(client),
      messages_(worker.http_messages),
      from_client_(messages_->request, client.stream().request()),
      from_upstream_(messages_->response) {}

HttpExchange::~HttpExchange() { client_.on_early({}); }

// ---- the request's head

HttpExchange::Head HttpExchange::take(ring::Chain bytes) {
  input_ = std::move(bytes);
  Step step = from_client_.read(input_, body_);
  if (step == Step::kHead) step = from_client_.read(input_, body_);  // what came with it of the body
  if (step == Step::kFault) return Head::kFault;
  if (!from_client_.has_head()) return Head::kPartial;
  name_host();
  return Head::kWhole;
}

HttpExchange::Head HttpExchange::take_end() {
  return from_client_.read_end(body_) == Step::kFault ? Head::kFault : Head::kPartial;
}

// ---- a try

void HttpExchange::keep_repeatable() {
  const http1::Connection& connection = request().connection();
  keeps_body_ = connection.framing != Framing::kLength || connection.content_length <= limits::kReplayBytes;
}

ring::Task<HttpExchange::End> HttpExchange::try_at(UpstreamPtr upstream) {
  upstream_ = std::move(upstream);
  from_upstream_.begin(upstream_->stream.stream().request(), asked_by(request()));
  sent_ = unsent_ = too_late_ = stopping_ = rival_leads_ = false;
  code_ = 0;
  if (deadlines_.any()) watch_time();

  co_await send_request();
  const End end = co_await relay_response();
  let_reply_go();
  if (pumping_) co_await stop_pump();
  timer_.reset();
  silence_timer_.reset();
  silent_ = {};
  if (rival_ || asking_rival_) co_await end_rival();
  if (const HttpStream* stream = from_upstream_.stream()) upstream_reset_ = stream->reset_code();
  from_upstream_.end();
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
  if (delivered_ && (delivering_ || !is_grpc())) client_.reset();
  drop_rival();
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
    from_upstream_.finish(from_client_.trailers());
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

bool HttpExchange::put_request_head(ring::Chain& out) {
  return from_upstream_.put_head(out, worker_.loop.buffers(), request(),
                                 {.target = request_edits_.target(), .fields = request_edits_.fields()});
}

// May be called again where it failed in its midst.
bool HttpExchange::put_request_body(ring::Chain& out) {
  return from_upstream_.put_body(out, worker_.loop.buffers(), body_, request().connection().framing, request_is_whole(),
                                 from_client_.trailers());
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
    step = input_.empty() ? from_client_.read_end(body_) : from_client_.read(input_, body_);
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
    from_upstream_.finish(from_client_.trailers());
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
  while (pumping_) co_await pump_ended_.wait();  // the end of an earlier try's may still be signalled
}

void HttpExchange::request_is_sent() {
  sent_ = true;
  if (silent_) {
    silence_timer_.emplace(worker_.loop.timers(), [this] { std::exchange(silent_, {})(); });
    silence_timer_->arm(worker_.loop.now() + silence_);
  }
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
  drop_rival();
  if (upstream_) upstream_->stream.reset();
  if (paused_) std::exchange(paused_, nullptr)->set();
}

// ---- a second upstream

void HttpExchange::on_silence(ring::Clock::duration time, std::function<void()> silent) {
  silence_ = time;
  silent_ = std::move(silent);
}

bool HttpExchange::race(UpstreamPtr& rival) {
  const bool waits = upstream_ && sent_ && !rival_ && !asking_rival_ && !from_upstream_.started() &&
                     !upstream_->stream.ahead() && !client_gone_ && !too_late_ && is_repeatable();
  if (!waits) return false;
  rival_ = std::move(rival);
  ask_rival(*rival_);
  return true;
}

// It may lead by the time that all of the request is sent to it, or be dropped.
ring::Detached HttpExchange::ask_rival(UpstreamConnection& rival) {
  asking_rival_ = true;
  rival_sent_ = false;
  UpstreamCodec codec(messages_->response);  // nothing is read with it
  codec.begin(rival.stream.stream().request(), asked_by(request()));
  ring::Chain out;
  co_await when_blocks(worker_.loop, [&] {
    return codec.put_head(out, worker_.loop.buffers(), request(),
                          {.target = request_edits_.target(), .fields = request_edits_.fields()});
  });
  ring::Chain body;
  const std::span<const uint8_t> kept = messages_->replay.bytes();
  co_await when_blocks(worker_.loop,
                       [&] { return body.append_copy(worker_.loop.buffers(), kept.subspan(body.size())); });
  co_await when_blocks(worker_.loop, [&] {
    return codec.put_body(out, worker_.loop.buffers(), body, request().connection().framing, true,
                          from_client_.trailers());
  });
  rival.stream.on_early([this] { rival_spoke(); });
  rival.stream.watch();
  rival_sent_ = (co_await rival.stream.send(std::move(out))).has_value();
  if (rival_sent_) codec.finish(from_client_.trailers());
  asking_rival_ = false;
  rival_asked_.set();
}

// With an answer, or its end.
void HttpExchange::rival_spoke() {
  if (!rival_) return;
  const ring::IoResult<ring::Chain>& ahead = *rival_->stream.ahead();
  const HttpStream* stream = rival_->stream.stream().request();
  const bool answers = ahead && (stream ? stream->fault() == Fault::kNone : !ahead->empty());
  if (!answers) return drop_rival();
  if (from_upstream_.started() || upstream_->stream.ahead()) return;  // it comes second
  std::swap(upstream_, rival_);
  rival_leads_ = !rival_leads_;
  from_upstream_.begin(upstream_->stream.stream().request(), asked_by(request()));
  upstream_->show_in(record_);
  rival_->stream.abandon();  // who waits there looks again
}

// The one that leads has failed, or said what is not wanted. False: there is no other.
bool HttpExchange::fall_back_to_rival() {
  if (!has_rival() || delivered_ || client_gone_ || too_late_) return false;
  rival_->stream.on_early({});
  std::swap(upstream_, rival_);
  rival_leads_ = !rival_leads_;
  drop_rival();
  from_upstream_.begin(upstream_->stream.stream().request(), asked_by(request()));
  upstream_->show_in(record_);
  return true;
}

void HttpExchange::drop_rival() {
  if (!rival_) return;
  rival_->stream.on_early({});
  rival_->stream.reset();
  rival_sent_ = false;
  if (!asking_rival_) worker_.upstreams.end(std::move(rival_), true);
}

ring::Task<void> HttpExchange::end_rival() {
  drop_rival();
  if (asking_rival_ && rival_leads_ && upstream_)
    upstream_->stream.reset();  // it has answered what it has not heard out
  if (asking_rival_) co_await rival_asked_.wait();
  if (rival_) worker_.upstreams.end(std::move(rival_), true);
}

// ---- the response

ring::Task<HttpExchange::End> HttpExchange::relay_response() {
  UpstreamCodec& reader = from_upstream_;
  ring::Chain input;
  ring::Chain body;
  for (;;) {
    const UpstreamConnection* asked = upstream_.get();
    ring::IoResult<ring::Chain> got = co_await upstream_->stream.recv();
    if (upstream_.get() != asked) continue;  // another one has answered first
    const bool let_go = !got && held_ == Held::kLongEnough;
    const bool ended = got && got->empty();
    if (got) input = std::move(*got);
    ring::Chain out;
    std::optional<End> failed;
    if (!got && !let_go) failed = end_of_failure();
    Step step = !got ? Step::kNeedMore : ended ? reader.read_end(body) : reader.read(input, body);
    for (; step == Step::kHead; step = reader.read(input, body)) {
      failed = judge_head();
      if (failed) break;
      if (held_ == Held::kNo) co_await when_blocks(worker_.loop, [&] { return put_response_head(out); });
    }
    if (failed == End::kUnwanted && reader.read(input, body) == Step::kEnd) give_back_upstream(input);
    if (!failed && (step == Step::kFault || (ended && step == Step::kNeedMore && !reader.stream())))
      failed = end_of_failure();
    if (failed) {
      if (!fall_back_to_rival()) co_return *failed;
      body.clear();
      continue;
    }
    if (step == Step::kEnd && is_grpc()) {
      grpc_status_ = grpc::status_of(reader.trailers());
      if (!grpc_status_) grpc_status_ = grpc::status_of(reader.head().fields());
    }
    if (held_ != Held::kNo) {
      const bool short_unary = may_be_short_unary(body);
      if (step == Step::kEnd && short_unary && is_unwanted(&reader.trailers())) co_return End::kUnwanted;
      if (step == Step::kNeedMore && short_unary && !let_go) continue;
      let_reply_go();
      co_await when_blocks(worker_.loop, [&] { return put_response_head(out); });
    }
    co_await when_blocks(worker_.loop, [&] { return put_response_body(out, body); });

    const bool switches = step == Step::kEnd && code_ == 101;
    if (switches) {
      upstream_->stream.put_back(std::move(input));
    } else if (step == Step::kEnd) {
      give_back_upstream(input);
    }
    if (out.empty() && code_ == 0) continue;  // no head yet
    if (!co_await deliver(std::move(out), step == Step::kEnd)) co_return too_late_ ? End::kCutShort : End::kClientGone;
    if (step == Step::kEnd) co_return switches ? End::kUpgraded : End::kAnswered;
    if (ring::Socket* socket = upstream_->stream.stream().socket()) socket->acknowledge();  // more is to come
  }
}

// Nothing: it may be passed on, at once or once it is let go.
std::optional<HttpExchange::End> HttpExchange::judge_head() {
  const http1::ResponseHead& head = from_upstream_.head();
  if (head.interim()) return ++interims_ > limits::kInterimResponses ? std::optional(End::kBadResponse) : std::nullopt;
  if (is_unwanted(nullptr)) return End::kUnwanted;
  drop_rival();
  const bool trailers_follow = head.connection().framing != Framing::kNone;
  if (holds_reply_ && head.status() == 200 && trailers_follow && is_grpc() && is_repeatable()) hold();
  return std::nullopt;
}

void HttpExchange::hold() {
  held_ = Held::kYes;
  hold_timer_.emplace(worker_.loop.timers(), [this] {
    held_ = Held::kLongEnough;
    upstream_->stream.abandon();  // who waits there looks again
  });
  hold_timer_->arm(worker_.loop.now() + limits::kReplyHold);
}

void HttpExchange::let_reply_go() {
  held_ = Held::kNo;
  hold_timer_.reset();
}

bool HttpExchange::is_unwanted(const http1::Fields* trailers) const {
  return unwanted_ && !client_gone_ && !too_late_ && unwanted_(from_upstream_.head(), trailers);
}

// Its response was read to the end. `left`: what the upstream has said beyond it.
void HttpExchange::give_back_upstream(const ring::Chain& left) {
  if (left.empty() && upstream_is_reusable()) worker_.upstreams.put(std::move(upstream_));
}

void HttpExchange::end_connection() {
  last_ = true;
  if (HttpStream* stream = client_.stream().request()) stream->connection().drain();
}

bool HttpExchange::put_response_head(ring::Chain& out) {
  const http1::ResponseHead& head = from_upstream_.head();
  const http1::Connection& asked = request().connection();
  if (head.interim())
    return asked.http10 || from_client_.put_head(out, worker_.loop.buffers(), head, client_side(), {});
  code_ = head.status();
  if (timer_) {
    deadlines_.response_has_begun();
    watch_time();
  }
  keep_alive_ = asked.keep_alive && request_is_whole() && !half_closed_ && !last_ && !worker_.http.draining() &&
                code_ != 101 && http1::framing_for(head, client_side()) != Framing::kUntilClose;
  if (!from_client_.put_head(out, worker_.loop.buffers(), head, client_side(), response_edits_.fields())) return false;
  // An HTTP/2 client's session has the head now, while one of HTTP/1.1 has it when `out` is delivered.
  delivered_ |= from_client_.stream() != nullptr;
  return true;
}

// May be called again where it failed in its midst.
bool HttpExchange::put_response_body(ring::Chain& out, ring::Chain& body) const {
  const UpstreamCodec& reader = from_upstream_;
  const Framing framing = reader.has_head() ? http1::framing_for(reader.head(), client_side()) : Framing::kNone;
  return from_client_.put_body(out, worker_.loop.buffers(), body, framing, reader.ended(), reader.trailers());
}

// `whole`: nothing of the response follows.
ring::Task<bool> HttpExchange::deliver(ring::Chain out, bool whole) {
  delivered_ |= code_ != 0;
  record_.bytes.b_to_a += out.size();
  delivering_ = true;
  const ring::IoResult<void> sent = co_await client_.send(std::move(out));
  delivering_ = false;
  if (!sent) client_failed();
  if (whole) from_client_.finish(from_upstream_.trailers());
  co_return sent.has_value();
}

HttpExchange::End HttpExchange::end_of_failure() const {
  if (client_gone_ && !too_late_) return End::kClientGone;
  if (delivered_) return End::kCutShort;
  if (fault() != Fault::kNone) return End::kBadRequest;
  if (too_late_) return End::kTooLate;
  if (held_ != Held::kNo) return End::kUnanswered;
  if (from_upstream_.started()) return End::kBadResponse;
  return upstream_->stream.stream().unprocessed() ? End::kUnprocessed : End::kUnanswered;
}

bool HttpExchange::upstream_is_reusable() const {
  return !from_upstream_.stream() && from_upstream_.head().connection().keep_alive && sent_ && !unsent_ &&
         !half_closed_ && !asking_rival_;
}

http1::Client HttpExchange::client_side() const { return {request().connection().http10, keep_alive_}; }

// ---- gRPC

bool HttpExchange::is_grpc() const {
  return from_client_.stream() && has_valid_head() && grpc::is_grpc(request().fields());
}

grpc::Status HttpExchange::grpc_status_of(const LocalAnswer& answer) const {
  if (answer.grpc_status) return *answer.grpc_status;
  if (answer.status == 504) return grpc::Status::kDeadlineExceeded;
  if (answer.reason == Reason::kServerClosed && upstream_reset_ != 0) return grpc::status_of_reset(upstream_reset_);
  return grpc::status_of_http(answer.status);
}

bool HttpExchange::end_call(bool too_late) {
  if (!is_grpc() || client_gone_) return false;
  const bool closed = upstream_reset_ == 0 || upstream_reset_ == static_cast<uint32_t>(http2::ResetCode::kConnectError);
  grpc_status_ = too_late ? grpc::Status::kDeadlineExceeded
                 : closed ? grpc::Status::kUnavailable
                          : grpc::status_of_reset(upstream_reset_);
  from_client_.finish_grpc(*grpc_status_,
                           too_late ? "the call's time is up" : "the server ended in the midst of its answer");
  return true;
}

// ---- answers made here

ring::Task<bool> HttpExchange::answer(const LocalAnswer& answer) {
  const bool valid = has_valid_head();
  keep_alive_ = valid && request_is_whole() && request().connection().keep_alive && !last_ && !worker_.http.draining();
  code_ = answer.status;
  const http1::LocalResponse response{.status = answer.status,
                                      .reason = worker_.mesh()->settings().no_reason_header() ? "" : answer.label,
                                      .location = answer.location,
                                      .body = answer.text,
                                      .bodiless = valid && request().method() == http1::Method::kHead,
                                      .edits = response_edits_.fields()};
  ring::Chain out;
  if (is_grpc()) {
    code_ = 200;
    grpc_status_ = grpc_status_of(answer);
    from_client_.put_local_grpc(*grpc_status_, response);
    co_return co_await deliver({}, true);
  }
  co_await when_blocks(worker_.loop,
                       [&] { return from_client_.put_local(out, worker_.loop.buffers(), response, client_side()); });
  if (!from_client_.stream()) client_.put_back(std::move(input_));
  co_return co_await deliver(std::move(out), true);
}

}  // namespace leat::proxy
