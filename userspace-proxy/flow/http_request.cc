#include "userspace-proxy/flow/http_request.h"

#include "userspace-proxy/flow/choose_target.h"
#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/hedge.h"
#include "userspace-proxy/flow/mirror.h"
#include "userspace-proxy/flow/request_observer.h"
#include "userspace-proxy/flow/route_actions.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

using End = HttpExchange::End;
using Reuse = UpstreamPool::Reuse;

// Where a call failed without a message: trailers alone, in the place of the head.
std::optional<uint32_t> grpc_status_of(const http1::ResponseHead& head) {
  if (head.connection().framing != http1::Framing::kNone) return std::nullopt;
  const auto status = grpc::status_of(head.fields());
  return status ? std::optional(static_cast<uint32_t>(*status)) : std::nullopt;
}

// Whether the response has a field that the request names as worth another try: Envoy's header for it.
bool has_named_field(const http1::RequestHead& request, const http1::ResponseHead& response) {
  std::string_view names = request.fields().get("x-envoy-retriable-header-names").value_or("");
  while (!names.empty()) {
    std::string_view name = names.substr(0, names.find(','));
    names.remove_prefix(std::min(name.size() + 1, names.size()));
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty() && response.fields().find(name)) return true;
  }
  return false;
}

RetryBudget budget_of(const Service::Port& port) {
  RetryBudget budget;
  if (!port.policy) return budget;
  if (const auto& own = port.policy->retry_budget)
    budget = {.share = own->percent / 100, .always = own->min_concurrency, .window = own->interval};
  if (const uint32_t most = port.policy->limits.max_retries()) budget.most = most;
  return budget;
}

class HttpRequest {
 public:
  HttpRequest(Worker& worker, FlowRecord& record, HttpClient& client, HttpExchange& exchange, const IpAddress& alias)
      : worker_(worker),
        record_(record),
        client_(client),
        exchange_(exchange),
        alias_(alias),
        observer_(worker, record) {}

  ring::Task<HttpRequestEnd> serve(Outcome<void> valid, ring::Clock::time_point started);

 private:
  // What the client has still to be told; nothing: it was answered, or is gone.
  using Failure = std::optional<Reason>;

  ring::Task<Failure> pass_on();
  ring::Task<bool> act(const route::Actions& actions);
  void prepare();
  [[nodiscard]] bool mirrors() const {
    return target_.route && target_.route->actions && !target_.route->actions->mirrors.empty();
  }
  void limit_call(Deadlines& deadlines);
  void tell_time_left();
  ring::Task<Failure> try_all();
  ring::Task<Outcome<End>> try_once();
  ring::Task<Outcome<Connected<UpstreamPtr>>> connect(Reuse reuse);
  [[nodiscard]] HttpVersion version() const;
  ring::Task<Failure> finish(End end);
  void end_as_gone();
  [[nodiscard]] Reason too_late() const;

  bool wants_another(const TryEnd& end);
  bool wants_another(const http1::ResponseHead& head, const http1::Fields* trailers);
  [[nodiscard]] bool may_hedge() const;
  void hedge(const SocketAddress& asked);
  bool begin_race(UpstreamPtr& rival, Balancer::Use use);
  [[nodiscard]] const Balancer::Use& leading() const { return exchange_.rival_leads() ? rival_ : first_; }
  void tell_balancer(const Balancer::Use& use, End end);
  [[nodiscard]] std::optional<TryEnd> failure_of(const Outcome<End>& ended) const;
  ring::Task<bool> pause();

  ring::Task<void> refuse(Reason reason);
  ring::Task<void> answer(const LocalAnswer& answer);
  ring::Task<void> relay_upgraded();
  [[nodiscard]] Call call() const;
  void account(ring::Clock::time_point started);

  Worker& worker_;
  FlowRecord& record_;
  HttpClient& client_;
  HttpExchange& exchange_;
  const IpAddress& alias_;
  RequestObserver observer_;
  ChosenTarget target_;
  RetryPolicy policy_;
  RetryBudget budget_;
  std::optional<Candidates> candidates_;  // those that were not tried
  RetryBudgets::Use counted_, counted_retry_, counted_hedge_;
  Place place_, retry_place_, hedge_place_;  // among those that the policy allows at once
  Ref<const Hedge> hedge_;                   // null: none was begun
  Balancer::Use first_, rival_;              // of the endpoint of this try, and of the one that the hedge asks
  HttpRequestEnd end_;
  ResponseFlags flags_ = ResponseFlag::kNone;
  uint32_t retries_ = 0;
  uint16_t status_ = 0;  // of the last response
  bool idempotent_ = false;
  bool call_has_deadline_ = false;
};

ring::Task<HttpRequestEnd> HttpRequest::serve(Outcome<void> valid, ring::Clock::time_point started) {
  Failure failure;
  if (valid) {
    observer_.begin(exchange_.request(), exchange_.request_edits());
    failure = co_await pass_on();
  } else {
    failure = valid.error();
  }
  if (hedge_) hedge_->race = {};
  if (failure) co_await refuse(*failure);
  account(started);
  co_return std::move(end_);
}

// To an endpoint of its route, and the response back; to another one where that is worth a try.
ring::Task<HttpRequest::Failure> HttpRequest::pass_on() {
  if (exchange_.request().method() == http1::Method::kConnect) co_return Reason::kConnectMethod;
  Outcome<ChosenTarget> chosen = choose_target(worker_, record_, exchange_.request(), alias_);
  if (!chosen) co_return chosen.error();
  target_ = std::move(*chosen);
  if (target_.last) exchange_.end_connection();
  if (has_edits(target_)) {
    if (const auto edited = edit_heads(target_, exchange_); !edited) co_return edited.error();
  }
  if (target_.route && target_.route->actions && co_await act(*target_.route->actions)) co_return std::nullopt;
  if (!target_.hash.set_cookie.empty()) {
    http1::HeadEdits& edits = exchange_.response_edits();
    edits.add("set-cookie", edits.keep(target_.hash.set_cookie));
  }
  if (exchange_.is_grpc() && version() == HttpVersion::k1) co_return Reason::kNotHttp2;
  std::optional<Place> place = Place::take_now(*target_.port, Limit::kRequests);
  if (!place) co_return Reason::kRequestLimit;
  place_ = std::move(*place);
  prepare();
  const Failure failure = co_await try_all();
  if (mirrors()) mirror_request(worker_, record_, target_, exchange_);
  co_return failure;
}

// What the route does besides leading somewhere. False: the request goes on.
ring::Task<bool> HttpRequest::act(const route::Actions& actions) {
  if (actions.cors) {
    if (const std::optional<LocalAnswer> preflight = apply_cors(*actions.cors, exchange_)) {
      co_await answer(*preflight);
      co_return true;
    }
  }
  if (actions.fault) {
    const DrawnFault fault = draw_fault(*actions.fault, worker_);
    if (fault.delay.count() > 0) {
      flags_ |= ResponseFlag::kDelayInjected;
      if (!co_await exchange_.pause(worker_.loop.now() + fault.delay)) {
        end_as_gone();
        co_return true;
      }
    }
    if (fault.abort) {
      co_await answer(*fault.abort);
      co_return true;
    }
  }
  const std::optional<LocalAnswer> own = answer_of_route(target_, record_, exchange_);
  if (own) co_await answer(*own);
  co_return own.has_value();
}

// One after the other, until an answer is one for the client.
ring::Task<HttpRequest::Failure> HttpRequest::try_all() {
  for (;;) {
    const Outcome<End> ended = co_await try_once();
    const std::optional<TryEnd> failure = failure_of(ended);
    const bool again = ended == End::kUnwanted || (failure && wants_another(*failure));
    if (!again) {
      if (!ended) co_return exchange_.deadlines().request() <= worker_.loop.now() ? too_late() : ended.error();
      co_return co_await finish(*ended);
    }
    if (!co_await pause()) co_return co_await finish(End::kClientGone);
    if (exchange_.deadlines().request() <= worker_.loop.now()) co_return Reason::kResponseTimeout;
  }
}

void HttpRequest::prepare() {
  const route::Route* route = target_.route;
  policy_ = route && route->retries ? *route->retries : worker_.mesh()->retries();
  idempotent_ = http1::is_idempotent(exchange_.request().method());
  Deadlines& deadlines = exchange_.deadlines();
  if (route) deadlines.limit_request(route->timeout);
  deadlines.limit_try(policy_.try_time);
  if (exchange_.is_grpc()) limit_call(deadlines);
  if (exchange_.request_is_whole()) deadlines.request_is_whole(worker_.loop.now());
  exchange_.on_response(
      [this](const http1::ResponseHead& head, const http1::Fields* trailers) { return wants_another(head, trailers); });
  if (policy_.attempts > 0 && policy_.reads_grpc_status()) exchange_.hold_reply();
  if (policy_.attempts > 0 || idempotent_ || version() != HttpVersion::k1 || mirrors()) exchange_.keep_repeatable();
  budget_ = budget_of(*target_.port);
  counted_ = worker_.retry_budgets.request(target_.port->id, budget_, worker_.loop.now());
}

// A gRPC call brings its own deadline.
void HttpRequest::limit_call(Deadlines& deadlines) {
  const auto text = exchange_.request().fields().get("grpc-timeout");
  const auto timeout = text ? grpc::parse_timeout(*text) : std::nullopt;
  constexpr auto kNoBound = std::chrono::hours(24 * 365);  // more would overflow the clock
  if (timeout && *timeout < kNoBound) {
    call_has_deadline_ = true;
    deadlines.limit_until(worker_.loop.now() + *timeout);
  }
}

// The first try's server is told what the client said; later ones what is left of it.
void HttpRequest::tell_time_left() {
  if (!call_has_deadline_ || retries_ == 0) return;
  http1::HeadEdits& edits = exchange_.request_edits();
  const std::chrono::nanoseconds left = exchange_.deadlines().request() - worker_.loop.now();
  edits.set("grpc-timeout", edits.keep(grpc::format_timeout(left)));
}

// An error: no endpoint was connected. A connection that was closed while it lay idle is no try.
ring::Task<Outcome<End>> HttpRequest::try_once() {
  exchange_.deadlines().begin_try(worker_.loop.now());
  tell_time_left();
  for (Reuse reuse = idempotent_ ? Reuse::kAny : Reuse::kRecent;; reuse = Reuse::kNone) {
    std::optional<Place> pending = Place::take_now(*target_.port, Limit::kPending);
    if (!pending) co_return std::unexpected(Reason::kPendingLimit);
    Outcome<Connected<UpstreamPtr>> connected = co_await connect(reuse);
    if (!connected) co_return std::unexpected(connected.error());
    pending.reset();
    const bool may_be_stale = connected->upstream->reused();
    if (may_hedge()) exchange_.on_silence(target_.route->hedge_after, [this] { hedge(record_.server); });
    first_ = std::move(connected->use);
    const End end = co_await exchange_.try_at(std::move(connected->upstream));
    const bool was_stale =
        may_be_stale && reuse != Reuse::kNone && ((end == End::kUnanswered && idempotent_) || end == End::kUnprocessed);
    if (was_stale && exchange_.is_repeatable()) continue;
    tell_balancer(leading(), end);
    first_ = {};
    if (exchange_.rival_leads()) ++worker_.hedges.won;
    co_return end;
  }
}

ring::Task<Outcome<Connected<UpstreamPtr>>> HttpRequest::connect(Reuse reuse) {
  const auto now = worker_.loop.now();
  if (!candidates_ || policy_.allow_same_host || !candidates_->more())
    candidates_.emplace(worker_.balancer.candidates(*target_.service, *target_.port, false, now, target_.hash.hash));
  if (target_.port->policy && target_.port->policy->algorithm == v1::LB_PASSTHROUGH)
    candidates_->only_at(record_.requested.ip);
  return connect_to_one_of<UpstreamPtr>(
      worker_, record_, *candidates_,
      std::min(now + worker_.connect_timeout(target_.port->policy.get()), exchange_.deadlines().next()),
      [this, reuse](const Backend& backend, ring::Clock::time_point deadline) {
        return worker_.upstreams.connect(record_, *target_.port, backend, version(), reuse, deadline);
      },
      [] { return true; });
}

// What the policy says; else what is declared; else what the client speaks, for its server must have spoken that before
// it was in the mesh, unless a route has led it elsewhere.
HttpVersion HttpRequest::version() const {
  const bool client_speaks_it = client_.stream().request();
  const bool declared = target_.port->protocol == v1::PROTOCOL_HTTP2;
  if (const Policy* policy = target_.port->policy.get()) {
    if (policy->limits.use_client_protocol()) return client_speaks_it ? HttpVersion::k2 : HttpVersion::k1;
    const v1::H2Upgrade upgrade = declared ? v1::H2_UPGRADE_DEFAULT : policy->limits.h2_upgrade();
    if (upgrade == v1::H2_UPGRADE_DO_NOT_UPGRADE) return HttpVersion::k1;
    // A connection that is to become another protocol's can't be a stream.
    if (upgrade == v1::H2_UPGRADE_UPGRADE && !exchange_.request().connection().upgrade) return HttpVersion::k2;
  }
  if (declared) return HttpVersion::k2;
  if (!client_speaks_it) return HttpVersion::k1;
  return exchange_.is_grpc() ? HttpVersion::k2 : HttpVersion::k2IfSpoken;
}

// Of the last try.
ring::Task<HttpRequest::Failure> HttpRequest::finish(End end) {
  switch (end) {
    case End::kUpgraded:
      co_await relay_upgraded();
      co_return std::nullopt;
    case End::kUnanswered:
    case End::kUnprocessed:
      co_return Reason::kServerClosed;
    case End::kBadResponse:
      co_return Reason::kBadResponse;
    case End::kBadRequest:
      co_return Reason::kBadRequest;
    case End::kTooLate:
      co_return too_late();
    case End::kCutShort: {
      const bool late = exchange_.deadlines().request() <= worker_.loop.now();
      end_ = {exchange_.end_call(late) ? Verdict::kFailed : Verdict::kReset,
              late ? Reason::kResponseTimeout : Reason::kServerClosed};
      flags_ |= late ? ResponseFlag::kTimeout : ResponseFlag::kUpstreamClosed;
      co_return std::nullopt;
    }
    case End::kClientGone:
      end_as_gone();
      co_return std::nullopt;
    case End::kAnswered:
    case End::kUnwanted:
      break;
  }
  co_return std::nullopt;
}

void HttpRequest::end_as_gone() {
  end_ = {Verdict::kReset, Reason::kClientReset};
  flags_ |= ResponseFlag::kDownstreamClosed;
}

Reason HttpRequest::too_late() const {
  return exchange_.deadlines().request() <= worker_.loop.now() ? Reason::kResponseTimeout : Reason::kTryTimeout;
}

// ---- tries

std::optional<TryEnd> HttpRequest::failure_of(const Outcome<End>& ended) const {
  using Kind = TryEnd::Kind;
  if (!ended && !is_endpoints_fault(ended.error())) return std::nullopt;
  if (!ended) return TryEnd{.kind = Kind::kNotConnected};
  switch (*ended) {
    case End::kUnprocessed:
      return TryEnd{.kind = Kind::kRefused};
    case End::kUnanswered:
    case End::kBadResponse:
    case End::kTooLate:
      return TryEnd{.kind = Kind::kUnanswered};
    default:
      return std::nullopt;
  }
}

// What the endpoint did; what the client did is not its fault.
void HttpRequest::tell_balancer(const Balancer::Use& use, End end) {
  if (end == End::kBadRequest || end == End::kClientGone) return;
  const bool answered = end == End::kAnswered || end == End::kUpgraded || end == End::kUnwanted;
  worker_.balancer.answered(use, answered ? status_ : 0, worker_.loop.now());
}

bool HttpRequest::wants_another(const http1::ResponseHead& head, const http1::Fields* trailers) {
  status_ = head.status();
  TryEnd end{.status = head.status(), .grpc_status = grpc_status_of(head)};
  if (trailers) {
    if (const auto status = grpc::status_of(*trailers)) end.grpc_status = static_cast<uint32_t>(*status);
  }
  end.rate_limited = head.fields().find("x-envoy-ratelimited");
  end.named = policy_.reads_named_fields() && has_named_field(exchange_.request(), head);
  if (!exchange_.has_rival() || !policy_.covers(end, idempotent_)) return wants_another(end);
  worker_.balancer.answered(leading(), status_, worker_.loop.now());
  return true;  // that one may do better, without a try more
}

// Counts the retry where it says that there is one.
bool HttpRequest::wants_another(const TryEnd& end) {
  if (policy_.attempts == 0 || !policy_.covers(end, idempotent_) || !exchange_.is_repeatable()) return false;
  const auto now = worker_.loop.now();
  if (exchange_.deadlines().request() <= now) return false;
  if (retries_ == policy_.attempts) {
    flags_ |= ResponseFlag::kRetriesExhausted;
    return false;
  }
  counted_retry_ = {};
  counted_retry_ = worker_.retry_budgets.retry(target_.port->id, budget_, now);
  retry_place_ = {};
  std::optional<Place> place = Place::take_now(*target_.port, Limit::kRetries);
  if (!counted_retry_ || !place) {
    flags_ |= ResponseFlag::kOverflow;
    return false;
  }
  retry_place_ = std::move(*place);
  ++retries_;
  return true;
}

// ---- a hedge

// Once a request, and only where it does no harm that two endpoints act on it.
bool HttpRequest::may_hedge() const {
  return target_.route && target_.route->hedge_after.count() > 0 && idempotent_ && !hedge_ &&
         !exchange_.request().connection().upgrade && exchange_.is_repeatable();
}

// The endpoint at `asked` is slow. The second request counts as a retry does.
void HttpRequest::hedge(const SocketAddress& asked) {
  counted_hedge_ = worker_.retry_budgets.retry(target_.port->id, budget_, worker_.loop.now());
  std::optional<Place> place = Place::take_now(*target_.port, Limit::kRetries);
  if (!counted_hedge_ || !place) {
    ++worker_.hedges.refused;
    return;
  }
  hedge_place_ = std::move(*place);
  hedge_ = make_ref<Hedge>([this](UpstreamPtr& rival, Balancer::Use use) { return begin_race(rival, std::move(use)); });
  ask_another(worker_, hedge_, record_, target_, asked, version(), exchange_.deadlines().next());
}

bool HttpRequest::begin_race(UpstreamPtr& rival, Balancer::Use use) {
  if (!exchange_.race(rival)) return false;
  rival_ = std::move(use);
  ++record_.attempts;
  ++worker_.hedges.sent;
  return true;
}

// False: the client is gone.
ring::Task<bool> HttpRequest::pause() {
  const auto until = worker_.loop.now() + policy_.pause(retries_, worker_.draw());
  return exchange_.pause(std::min<ring::Clock::time_point>(until, exchange_.deadlines().request()));
}

// ---- its end

// What can't be passed on is answered here.
ring::Task<void> HttpRequest::refuse(Reason reason) {
  const bool faulty = exchange_.fault() != http1::Fault::kNone;
  co_await answer(faulty ? answer_for(exchange_.fault()) : answer_for(reason));
}

ring::Task<void> HttpRequest::answer(const LocalAnswer& answer) {
  end_ = {answer.reason == Reason::kNone ? Verdict::kOk : Verdict::kFailed, answer.reason};
  const bool delivered = co_await exchange_.answer(answer);
  flags_ |= delivered ? answer.flag : ResponseFlag::kDownstreamClosed;
}

// The two speak something else from here on.
ring::Task<void> HttpRequest::relay_upgraded() {
  UpstreamPtr upstream = std::move(exchange_.upstream());
  client_.on_early({});
  end_.relayed = co_await ring::relay(client_, upstream->stream, record_.bytes);
  worker_.upstreams.end(std::move(upstream), end_.relayed->end != ring::RelayResult::End::kFinished);
}

Call HttpRequest::call() const {
  if (!exchange_.is_grpc()) return {};
  const auto status = exchange_.grpc_status();
  return {true, status ? std::optional(static_cast<uint8_t>(*status)) : std::nullopt};
}

void HttpRequest::account(ring::Clock::time_point started) {
  const auto now = worker_.loop.now();
  const bool tried = record_.attempts > 0;
  const RequestFacts facts{.source = record_.source.get(),
                           .destination = tried ? record_.destination.get() : nullptr,
                           .service = record_.service.get(),
                           .asked = target_.asked.get(),
                           .route = target_.route,
                           .security = tried ? record_.security : Security::kNone,
                           .flags = flags_,
                           .code = exchange_.code(),
                           .call = call(),
                           .took = now - started,
                           .request_bytes = exchange_.request_bytes(),
                           .response_bytes = exchange_.response_bytes()};
  worker_.requests.record(facts, now);
  observer_.end(exchange_, facts, end_.reason, target_);
}

}  // namespace

ring::Task<HttpRequestEnd> serve_request(Worker& worker, FlowRecord& record, HttpClient& client, HttpExchange& exchange,
                                         const IpAddress& alias, Outcome<void> valid, ring::Clock::time_point started) {
  HttpRequest request(worker, record, client, exchange, alias);
  co_return co_await request.serve(valid, started);
}

}  // namespace leat::proxy
