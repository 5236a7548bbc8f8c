#include "userspace-proxy/flow/http_flow.h"

#include <optional>

#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/http_exchange.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/http1/scan.h"
#include "userspace-proxy/ring/relay.h"
#include "userspace-proxy/route/decide.h"

namespace leat::proxy {
namespace {

using Waits = HttpConnections::Waits;
using Head = HttpExchange::Head;
using End = HttpExchange::End;

// Where a request goes. The mesh that said so may be another meanwhile.
struct Chosen {
  ServiceRef service;
  const Service::Port* port = nullptr;  // of it
};

// Fields of one name are one list (RFC 9110, section 5.2).
std::optional<std::string_view> value_of(const http1::Fields& fields, std::string_view name, std::string& joined) {
  const http1::Field* first = fields.find(name);
  if (!first) return std::nullopt;
  std::string_view value = fields.value(*first);
  const size_t next = static_cast<size_t>(first - fields.all().data()) + 1;
  for (const http1::Field& field : fields.all().subspan(next)) {
    if (!http1::equal_ignoring_case(fields.name(field), name)) continue;
    if (value.data() != joined.data()) joined = value;
    joined.append(",").append(fields.value(field));
    value = joined;
  }
  return value;
}

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
  Outcome<Chosen> choose(const http1::RequestHead& request);
  ring::Task<Outcome<Connected<UpstreamPtr>>> connect(const Chosen& chosen, UpstreamPool::Reuse reuse);
  ring::Task<ResponseFlag> refuse(HttpExchange& exchange, Reason reason);
  ring::Task<void> relay_upgraded(HttpExchange& exchange);
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
  const ResponseFlag flag = passed ? *passed : co_await refuse(exchange, passed.error());
  account(exchange, flag, started);
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
  const Outcome<Chosen> chosen = choose(exchange.request());
  if (!chosen) co_return std::unexpected(chosen.error());

  Reuse reuse = exchange.is_repeatable() ? Reuse::kAny : Reuse::kRecent;
  for (;;) {
    Outcome<Connected<UpstreamPtr>> connected = co_await connect(*chosen, reuse);
    if (!connected) co_return std::unexpected(connected.error());
    const bool may_be_stale = connected->upstream->reused();
    const End end = co_await exchange.run(std::move(connected->upstream));
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

// By the routes of the Service that the client asked for, as they are now.
Outcome<Chosen> HttpFlow::choose(const http1::RequestHead& request) {
  const MeshRef mesh = worker_.mesh();
  const std::optional<Destination> to = mesh->destination(alias_);
  if (!to) return std::unexpected(Reason::kNotAnAlias);
  if (record_.service != to->service) record_.service = to->service;
  if (!to->service) return std::unexpected(Reason::kTargetGone);

  const auto find = [&](std::string_view name, std::string& joined) {
    return value_of(request.fields(), name, joined);
  };
  const std::string_view target = request.path_and_query();
  const size_t path_bytes = std::min(target.find('?'), target.size());
  const uint16_t port = record_.requested.port;
  const bool ipv6 = !to->address.is_v4();
  const route::Decision decision =
      route::decide(to->service->route_tables(),
                    {.method = request.method_text(),
                     .scheme = "http",
                     .authority = request.authority(),
                     .path = target.substr(0, path_bytes),
                     .query = target.substr(std::min(path_bytes + 1, target.size())),
                     .port = port,
                     .headers = route::Headers(find)},
                    {.namespace_ = record_.source->namespace_, .labels = record_.source->labels});
  if (decision.kind == route::Decision::Kind::kNoMatch) return std::unexpected(Reason::kNoRoute);
  if (decision.kind == route::Decision::Kind::kUnrouted) {
    const Service::Port* found = to->service->find_port(port, ipv6);
    if (!found) return std::unexpected(Reason::kNoSuchPort);
    return Chosen{to->service, found};
  }

  RouteTarget target_of_route = mesh->resolve(route::pick(*decision.route, worker_.draw()), port, ipv6);
  if (target_of_route.service && record_.service != target_of_route.service) record_.service = target_of_route.service;
  switch (target_of_route.missing) {
    case RouteTarget::Missing::kService:
      return std::unexpected(Reason::kNoRouteTarget);
    case RouteTarget::Missing::kSubset:
      return std::unexpected(Reason::kNoSubset);
    case RouteTarget::Missing::kPort:
      return std::unexpected(Reason::kNoSuchPort);
    case RouteTarget::Missing::kNothing:
      break;
  }
  return Chosen{std::move(target_of_route.service), target_of_route.port};
}

ring::Task<Outcome<Connected<UpstreamPtr>>> HttpFlow::connect(const Chosen& chosen, UpstreamPool::Reuse reuse) {
  const auto now = worker_.loop.now();
  return connect_to_one_of<UpstreamPtr>(
      worker_, record_, worker_.balancer.candidates(*chosen.service, *chosen.port, false, now),
      now + worker_.connect_timeout(),
      [this, reuse](const Backend& backend, ring::Clock::time_point deadline) {
        return worker_.upstreams.connect(record_, backend, reuse, deadline);
      },
      [] { return true; });
}

// What can't be passed on is answered here.
ring::Task<ResponseFlag> HttpFlow::refuse(HttpExchange& exchange, Reason reason) {
  const bool faulty = exchange.fault() != http1::Fault::kNone;
  const LocalAnswer answer = faulty ? answer_for(exchange.fault()) : answer_for(reason);
  verdict_ = Verdict::kFailed;
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
