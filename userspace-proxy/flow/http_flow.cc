#include "userspace-proxy/flow/http_flow.h"

#include <optional>

#include "userspace-proxy/flow/choose_target.h"
#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/http_exchange.h"
#include "userspace-proxy/flow/route_actions.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/ring/relay.h"

namespace leat::proxy {
namespace {

using Waits = HttpConnections::Waits;
using Head = HttpExchange::Head;
using End = HttpExchange::End;

class HttpFlow {
 public:
  HttpFlow(Worker& worker, FlowRecord& record, HttpClient& client, HttpConnections::Place& place,
           const IpAddress& alias)
      : worker_(worker), record_(record), client_(client), place_(place), alias_(alias) {}

  ring::Task<void> run();

 private:
  ring::Task<bool> serve(ring::Chain first);
  ring::Task<Outcome<void>> read_rest_of_head(HttpExchange& exchange);
  ring::Task<Outcome<ResponseFlag>> pass_on(HttpExchange& exchange);
  ring::Task<Outcome<Connected<UpstreamPtr>>> connect(const ChosenTarget& chosen, UpstreamPool::Reuse reuse);
  ring::Task<std::optional<ResponseFlag>> act(HttpExchange& exchange, const ChosenTarget& chosen);
  ring::Task<ResponseFlag> refuse(HttpExchange& exchange, Reason reason);
  ring::Task<ResponseFlag> answer(HttpExchange& exchange, const LocalAnswer& answer);
  ring::Task<void> relay_upgraded(HttpExchange& exchange);
  void tell_balancer(const Balancer::Use& use, const HttpExchange& exchange, End end, bool may_be_stale);
  void account(const HttpExchange& exchange, ResponseFlag flag, ring::Clock::time_point started);
  ring::Task<void> read_what_is_left();

  Worker& worker_;
  FlowRecord& record_;
  HttpClient& client_;
  HttpConnections::Place& place_;
  IpAddress alias_;
  // How the last request ended, which is how the connection did.
  Verdict verdict_ = Verdict::kOk;
  Reason reason_ = Reason::kNone;
  std::optional<ring::RelayResult> relayed_;
  bool bytes_left_ = false;  // that the client sent and nobody read
  bool delayed_ = false;     // by its route's fault
  ServiceRef edited_by_;     // whose route edits the heads: its texts are needed until the answer is written
};

// While it waits for a request, this frame is all that is kept of a connection.
ring::Task<void> HttpFlow::run() {
  record_.protocol = SeenProtocol::kHttp1;
  for (bool goes_on = true; goes_on;) {
    place_.waits(Waits::kForRequest, worker_.loop.now());
    ring::IoResult<ring::Chain> first = co_await client_.recv();
    if (!first || first->empty()) break;  // the reset of an idle client is as good as its end
    goes_on = co_await serve(std::move(*first));
  }
  if (verdict_ == Verdict::kReset) {
    client_.reset();
  } else if (bytes_left_) {
    co_await read_what_is_left();
  }
  relayed_ ? record_.close(*relayed_) : record_.close(verdict_, reason_);
}

// One request. False: the connection has to end.
ring::Task<bool> HttpFlow::serve(ring::Chain first) {
  const auto started = worker_.loop.now();
  verdict_ = Verdict::kOk;
  reason_ = Reason::kNone;
  record_.attempts = 0;
  bytes_left_ = false;
  delayed_ = false;
  HttpExchange exchange(worker_, record_, client_);

  Outcome<void> valid;
  const Head head = exchange.take(std::move(first));
  if (head == Head::kPartial) valid = co_await read_rest_of_head(exchange);
  if (head == Head::kFault) valid = std::unexpected(Reason::kBadRequest);
  if (!valid && valid.error() == Reason::kClientReset) co_return false;
  place_.waits(Waits::kForNothing, worker_.loop.now());
  ++record_.requests;

  Outcome<ResponseFlag> passed = std::unexpected(valid ? Reason::kNone : valid.error());
  if (valid) passed = co_await pass_on(exchange);
  ResponseFlag flag = passed ? *passed : co_await refuse(exchange, passed.error());
  if (delayed_ && flag == ResponseFlag::kNone) flag = ResponseFlag::kDelayInjected;
  account(exchange, flag, started);
  edited_by_ = nullptr;
  bytes_left_ = exchange.leaves_bytes();
  co_return exchange.connection_goes_on() && verdict_ != Verdict::kReset;
}

// kClientReset: the client has left without a request.
ring::Task<Outcome<void>> HttpFlow::read_rest_of_head(HttpExchange& exchange) {
  place_.waits(Waits::kForHead, worker_.loop.now());
  for (;;) {
    ring::IoResult<ring::Chain> got = co_await client_.recv();
    if (place_.overdue()) co_return std::unexpected(Reason::kRequestTimeout);
    if (!got) co_return std::unexpected(Reason::kClientReset);
    const bool ended = got->empty();
    const Head head = ended ? exchange.take_end() : exchange.take(std::move(*got));
    if (head == Head::kFault) co_return std::unexpected(Reason::kBadRequest);
    if (head == Head::kWhole) co_return Outcome<void>();
    if (ended) co_return std::unexpected(Reason::kClientReset);
  }
}

// To an endpoint of its route, and the response back. An error is what the client has still to be told.
ring::Task<Outcome<ResponseFlag>> HttpFlow::pass_on(HttpExchange& exchange) {
  using Reuse = UpstreamPool::Reuse;
  if (exchange.request().method() == http1::Method::kConnect) co_return std::unexpected(Reason::kConnectMethod);
  const Outcome<ChosenTarget> chosen = choose_target(worker_, record_, exchange.request(), alias_);
  if (!chosen) co_return std::unexpected(chosen.error());
  if (has_edits(*chosen)) {
    edited_by_ = chosen->asked;
    if (const auto edited = edit_heads(*chosen, exchange); !edited) co_return std::unexpected(edited.error());
  }
  if (chosen->route && chosen->route->actions) {
    if (const std::optional<ResponseFlag> ended = co_await act(exchange, *chosen)) co_return *ended;
  }
  if (!chosen->hash.set_cookie.empty()) {
    http1::HeadEdits& edits = exchange.response_edits();
    edits.add("set-cookie", edits.keep(chosen->hash.set_cookie));
  }

  Reuse reuse = exchange.is_repeatable() ? Reuse::kAny : Reuse::kRecent;
  for (;;) {
    Outcome<Connected<UpstreamPtr>> connected = co_await connect(*chosen, reuse);
    if (!connected) co_return std::unexpected(connected.error());
    const bool may_be_stale = connected->upstream->reused();
    const End end = co_await exchange.run(std::move(connected->upstream));
    tell_balancer(connected->use, exchange, end, may_be_stale);
    switch (end) {
      case End::kAnswered:
        co_return ResponseFlag::kNone;
      case End::kUpgraded:
        co_await relay_upgraded(exchange);
        co_return ResponseFlag::kNone;
      case End::kUnanswered:
        if (!may_be_stale || !exchange.is_repeatable()) co_return std::unexpected(Reason::kServerClosed);
        reuse = Reuse::kNone;  // it was closed while it lay idle: once more, on a new one
        break;
      case End::kBadResponse:
        co_return std::unexpected(Reason::kBadResponse);
      case End::kBadRequest:
        co_return std::unexpected(Reason::kBadRequest);
      case End::kCutShort:
        verdict_ = Verdict::kReset;
        reason_ = Reason::kServerClosed;
        co_return ResponseFlag::kUpstreamClosed;
      case End::kClientGone:
        verdict_ = Verdict::kReset;
        reason_ = Reason::kClientReset;
        co_return ResponseFlag::kDownstreamClosed;
    }
  }
}

ring::Task<Outcome<Connected<UpstreamPtr>>> HttpFlow::connect(const ChosenTarget& chosen, UpstreamPool::Reuse reuse) {
  const auto now = worker_.loop.now();
  return connect_to_one_of<UpstreamPtr>(
      worker_, record_, worker_.balancer.candidates(*chosen.service, *chosen.port, false, now, chosen.hash.hash),
      now + worker_.connect_timeout(),
      [this, reuse](const Backend& backend, ring::Clock::time_point deadline) {
        return worker_.upstreams.connect(record_, backend, reuse, deadline);
      },
      [] { return true; });
}

// What the endpoint did; what the client did is not its fault, nor that a connection ended while it lay idle.
void HttpFlow::tell_balancer(const Balancer::Use& use, const HttpExchange& exchange, End end, bool may_be_stale) {
  const bool answered = end == End::kAnswered || end == End::kUpgraded;
  const bool failed = (end == End::kUnanswered && !may_be_stale) || end == End::kBadResponse || end == End::kCutShort;
  if (answered || failed) worker_.balancer.answered(use, answered ? exchange.code() : 0, worker_.loop.now());
}

// What the route does besides leading somewhere. Nothing: the request goes on.
ring::Task<std::optional<ResponseFlag>> HttpFlow::act(HttpExchange& exchange, const ChosenTarget& chosen) {
  const route::Actions& actions = *chosen.route->actions;
  if (actions.fault) {
    const DrawnFault fault = draw_fault(*actions.fault, worker_);
    delayed_ = fault.delay.count() > 0;
    if (delayed_ && !co_await exchange.pause(worker_.loop.now() + fault.delay)) {
      verdict_ = Verdict::kReset;
      reason_ = Reason::kClientReset;
      co_return ResponseFlag::kDownstreamClosed;
    }
    if (fault.abort) co_return co_await answer(exchange, *fault.abort);
  }
  if (const std::optional<LocalAnswer> own = answer_of_route(chosen, record_, exchange))
    co_return co_await answer(exchange, *own);
  co_return std::nullopt;
}

// What can't be passed on is answered here.
ring::Task<ResponseFlag> HttpFlow::refuse(HttpExchange& exchange, Reason reason) {
  const bool faulty = exchange.fault() != http1::Fault::kNone;
  co_return co_await answer(exchange, faulty ? answer_for(exchange.fault()) : answer_for(reason));
}

ring::Task<ResponseFlag> HttpFlow::answer(HttpExchange& exchange, const LocalAnswer& answer) {
  if (answer.reason != Reason::kNone) verdict_ = Verdict::kFailed;
  reason_ = answer.reason;
  const bool delivered = co_await exchange.answer(answer);
  co_return delivered ? answer.flag : ResponseFlag::kDownstreamClosed;
}

// The two speak something else from here on.
ring::Task<void> HttpFlow::relay_upgraded(HttpExchange& exchange) {
  UpstreamPtr upstream = std::move(exchange.upstream());
  client_.on_early({});
  relayed_ = co_await ring::relay(client_, upstream->stream, record_.bytes);
  worker_.upstreams.end(std::move(upstream), relayed_->end != ring::RelayResult::End::kFinished);
}

void HttpFlow::account(const HttpExchange& exchange, ResponseFlag flag, ring::Clock::time_point started) {
  const auto now = worker_.loop.now();
  const bool tried = record_.attempts > 0;
  worker_.requests.record({.source = record_.source.get(),
                           .destination = tried ? record_.destination.get() : nullptr,
                           .service = record_.service.get(),
                           .security = tried ? record_.security : Security::kNone,
                           .flag = flag,
                           .code = exchange.code(),
                           .took = now - started,
                           .request_bytes = exchange.request_bytes(),
                           .response_bytes = exchange.response_bytes()},
                          now);
}

// A close before the client's bytes were read is a reset, which may overtake the answer.
ring::Task<void> HttpFlow::read_what_is_left() {
  ring::Timer patience(worker_.loop.timers(), [this] { client_.reset(); });
  patience.arm(worker_.loop.now() + limits::kLinger);
  client_.finish();
  for (bool open = true; open;) {
    const ring::IoResult<ring::Chain> got = co_await client_.recv();
    open = got && !got->empty();
  }
}

}  // namespace

ring::Task<void> serve_http(Worker& worker, FlowRecord& record, HttpClient& client, HttpConnections::Place& place,
                            const IpAddress& alias) {
  HttpFlow flow(worker, record, client, place, alias);
  co_await flow.run();
}

}  // namespace leat::proxy
