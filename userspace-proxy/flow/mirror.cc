#include "userspace-proxy/flow/mirror.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/worker.h"
#include "userspace-proxy/http1/scan.h"

namespace leat::proxy {
namespace {

struct Copy {
  ring::Chain bytes;
  http1::Asked asked;
  RouteTarget target;
};

std::string shadow_of(std::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  const size_t host_bytes = has_port ? colon : authority.size();
  return fmt::format("{}-shadow{}", authority.substr(0, host_bytes), authority.substr(host_bytes));
}

// The request as it went to its server but for the Host. False: the pool is dry.
bool write_copy(Worker& worker, HttpExchange& exchange, std::span<const uint8_t> kept_body, ring::Chain& out) {
  const http1::RequestHead& request = exchange.request();
  http1::Edits edits = exchange.request_edits().fields();
  std::string_view host = request.authority();
  std::vector<http1::FieldLine> set;
  for (const http1::FieldLine& line : edits.set) {
    if (http1::equal_ignoring_case(line.name, "host")) {
      host = line.value;
    } else {
      set.push_back(line);
    }
  }
  const std::string shadow = shadow_of(host);
  set.push_back({"host", shadow});
  edits.set = set;
  ring::BufferPool& pool = worker.loop.buffers();
  if (!http1::write_request(out, pool, request,
                            {.target = exchange.request_edits().target(), .upgrade = false, .fields = edits}))
    return false;
  ring::Chain body;
  if (!body.append_copy(pool, kept_body)) return false;
  if (request.connection().framing == http1::Framing::kChunked)
    return http1::write_chunk(out, pool, body) && http1::write_last_chunk(out, pool);
  out.append(std::move(body));
  return true;
}

// Reads the response to its end. False: there is none.
ring::Task<bool> swallow_response(UpstreamConnection& upstream, http1::ResponseReader& reader) {
  ring::Chain body;
  for (;;) {
    ring::IoResult<ring::Chain> got = co_await upstream.stream.recv();
    if (!got) co_return false;
    const bool ended = got->empty();
    ring::Chain input = std::move(*got);
    http1::Step step = ended ? reader.read_end() : reader.read(input, body);
    while (step == http1::Step::kHead) step = reader.read(input, body);
    body.clear();
    if (step == http1::Step::kEnd) co_return true;
    if (step == http1::Step::kFault || ended) co_return false;
  }
}

ring::Task<Outcome<void>> exchange_copy(Worker& worker, FlowRecord& record, Copy copy) {
  const auto now = worker.loop.now();
  Candidates candidates = worker.balancer.candidates(*copy.target.service, *copy.target.port, false, now);
  Outcome<Connected<UpstreamPtr>> connected = co_await connect_to_one_of<UpstreamPtr>(
      worker, record, candidates, now + worker.connect_timeout(copy.target.port->policy.get()),
      [&](const Backend& backend, ring::Clock::time_point deadline) {
        return worker.upstreams.connect(record, *copy.target.port, backend, HttpVersion::k1,
                                        UpstreamPool::Reuse::kRecent, deadline);
      },
      [] { return true; });
  if (!connected) co_return std::unexpected(connected.error());
  UpstreamPtr upstream = std::move(connected->upstream);
  ring::Timer patience(worker.loop.timers(), [&] { upstream->stream.reset(); });
  patience.arm(worker.loop.now() + limits::kMirrorTime);
  HttpMessageStock::Loan messages(worker.http_messages);
  messages->response.next(copy.asked);
  record.bytes.a_to_b += copy.bytes.size();
  bool answered = (co_await upstream->stream.send(std::move(copy.bytes))).has_value();
  answered = answered && co_await swallow_response(*upstream, messages->response);
  patience.cancel();
  if (answered && messages->response.head().connection().keep_alive) {
    worker.upstreams.put(std::move(upstream));
  } else {
    worker.upstreams.end(std::move(upstream), !answered);
  }
  if (!answered) co_return std::unexpected(Reason::kServerClosed);
  co_return Outcome<void>();
}

ring::Detached send_copy(Worker& worker, WorkloadRef source, SocketAddress client, SocketAddress requested, Copy copy) {
  FlowRecord record(worker.flows, v1::FLOW_OUTBOUND);
  record.source = std::move(source);
  record.client = client;
  record.requested = requested;
  record.service = copy.target.service;
  record.protocol = SeenProtocol::kHttp1;
  record.requests = 1;
  ++worker.mirrors.under_way;
  const Outcome<void> done = co_await exchange_copy(worker, record, std::move(copy));
  --worker.mirrors.under_way;
  ++(done ? worker.mirrors.sent : worker.mirrors.failed);
  done ? record.close(Verdict::kOk, Reason::kNone) : record.fail(done.error());
}

}  // namespace

void mirror_request(Worker& worker, const FlowRecord& record, const ChosenTarget& chosen, HttpExchange& exchange) {
  for (const route::Mirror& mirror : chosen.route->actions->mirrors) {
    if (!mirror.share.takes(worker.draw())) continue;
    Copy copy{.asked = {.head = exchange.request().method() == http1::Method::kHead}};
    copy.target = worker.mesh()->resolve(mirror.destination, record.requested.port, !record.requested.ip.is_v4(),
                                         record.source->as_client());
    const auto body = exchange.kept_body();
    const bool can_go = copy.target.port != nullptr && copy.target.port->protocol != v1::PROTOCOL_HTTP2 && body &&
                        worker.mirrors.under_way < limits::kMirrorsUnderWay;
    if (can_go && write_copy(worker, exchange, *body, copy.bytes)) {
      send_copy(worker, record.source, record.client, record.requested, std::move(copy));
    } else {
      ++worker.mirrors.dropped;
    }
  }
}

}  // namespace leat::proxy
