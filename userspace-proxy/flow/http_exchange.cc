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

// ---- both ways

ring::Task<HttpExchange::End> HttpExchange::run(UpstreamPtr upstream) {
  upstream_ = std::move(upstream);
  messages_->response.next(asked_by(request()));
  sent_ = unsent_ = false;

  ring::Chain out;
  co_await when_blocks(worker_.loop, [&] { return put_request_head(out); });
  co_await when_blocks(worker_.loop, [&] { return put_request_body(out); });
  record_.bytes.a_to_b += out.size();
  unsent_ = !co_await upstream_->stream.send(std::move(out));
  if (messages_->request.ended()) {
    request_is_sent();
  } else if (!unsent_) {
    pump_request();
  }

  const End end = co_await relay_response();
  if (pumping_) co_await stop_pump();
  if (upstream_ && end != End::kUpgraded) worker_.upstreams.end(std::move(upstream_), client_gone_);
  co_return end;
}

// ---- the request

bool HttpExchange::is_repeatable() const {
  return http1::is_idempotent(request().method()) && request().connection().framing == Framing::kNone &&
         !client_gone_ && !half_closed_;
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
    ring::Chain out;
    co_await when_blocks(worker_.loop, [&] { return put_request_body(out); });
    record_.bytes.a_to_b += out.size();
    unsent_ = !co_await upstream_->stream.send(std::move(out));
  }
  pumping_ = false;
  if (messages_->request.ended()) request_is_sent();
  if (stopping_) pump_ended_.set();
}

// The response is over before the request: what is missing of it is not wanted any more.
ring::Task<void> HttpExchange::stop_pump() {
  stopping_ = true;
  upstream_->stream.reset();
  client_.abandon();
  if (pumping_) co_await pump_ended_.wait();
}

// From here on the client is only watched: for its next request, its end, its reset.
void HttpExchange::request_is_sent() {
  sent_ = true;
  client_.put_back(std::move(input_));
  client_.on_early([this] { client_spoke(); });
  client_.watch();
  if (half_closed_) upstream_->stream.finish();
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
    for (; step == Step::kHead; step = reader.read(input, body))
      co_await when_blocks(worker_.loop, [&] { return put_response_head(out); });
    if (step == Step::kFault || (ended && step == Step::kNeedMore)) co_return end_of_failure();
    co_await when_blocks(worker_.loop, [&] { return put_response_body(out, body); });

    const bool switches = step == Step::kEnd && code_ == 101;
    if (switches) {
      upstream_->stream.put_back(std::move(input));
    } else if (step == Step::kEnd && input.empty() && upstream_is_reusable()) {
      worker_.upstreams.put(std::move(upstream_));
    }
    if (!out.empty() && !co_await deliver(std::move(out))) co_return End::kClientGone;
    if (step == Step::kEnd) co_return switches ? End::kUpgraded : End::kAnswered;
  }
}

bool HttpExchange::put_response_head(ring::Chain& out) {
  const http1::ResponseHead& head = messages_->response.head();
  const http1::Connection& asked = request().connection();
  if (head.interim()) return asked.http10 || http1::write_response(out, worker_.loop.buffers(), head, client_side());
  code_ = head.status();
  keep_alive_ = asked.keep_alive && messages_->request.ended() && !half_closed_ && !worker_.http.draining() &&
                code_ != 101 && http1::framing_for(head, client_side()) != Framing::kUntilClose;
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
  if (client_gone_) return End::kClientGone;
  if (delivered_) return End::kCutShort;
  if (fault() != Fault::kNone) return End::kBadRequest;
  return messages_->response.started() ? End::kBadResponse : End::kUnanswered;
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
                                        .reason = answer.label,
                                        .sentence = answer.text,
                                        .bodiless = valid && request().method() == http1::Method::kHead,
                                        .add = {}},
                                       client_side());
  });
  client_.put_back(std::move(input_));
  co_return co_await deliver(std::move(out));
}

}  // namespace leat::proxy
