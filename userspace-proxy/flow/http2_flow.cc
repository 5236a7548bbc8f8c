#include "userspace-proxy/flow/http2_flow.h"

#include "userspace-proxy/flow/http_exchange.h"
#include "userspace-proxy/flow/http_request.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

// One request. `connection` is the record of all of them: it shows the last one's way.
ring::Task<void> serve_stream(Worker& worker, FlowRecord& connection, HttpStream stream, const IpAddress& alias) {
  const auto started = worker.loop.now();
  ++connection.requests;
  ++connection.requests_open;
  FlowRecord record(static_cast<const FlowFacts&>(connection));
  record.bytes = {};
  record.attempts = 0;
  HttpClient client{AnyStream(std::move(stream))};
  {
    HttpExchange exchange(worker, record, client);
    Outcome<void> valid;
    if (exchange.take({}) == HttpExchange::Head::kFault) valid = std::unexpected(Reason::kBadRequest);
    const HttpRequestEnd end = co_await serve_request(worker, record, client, exchange, alias, valid, started);
    if (end.verdict == Verdict::kReset) client.stream().request()->reset(http2::ResetCode::kInternalError);
  }
  --connection.requests_open;
  connection.take_way_from(record);
  connection.service = record.service;
  connection.attempts = record.attempts;
  connection.bytes.a_to_b += record.bytes.a_to_b;
  connection.bytes.b_to_a += record.bytes.b_to_a;
  co_await client.close();
}

}  // namespace

ring::Task<void> serve_http2(Worker& worker, FlowRecord& record, HttpClient& client, const IpAddress& alias) {
  record.protocol = SeenProtocol::kHttp2;
  Http2Connection* self = nullptr;
  Http2Connection connection(worker.loop, http2::Session::Role::kServer, worker.http2,
                             {.request =
                                  [&](http2::MessageStream& stream) {
                                    ring::start(serve_stream(worker, record, HttpStream(*self, stream), alias));
                                  },
                              .changed = [] {}});
  self = &connection;
  const Http2Connections::Place place(worker.http2_clients, connection, record.source->uid);
  if (worker.http.draining()) connection.drain();
  co_await connection.run(client);
  record.close(Verdict::kOk, Reason::kNone);
}

}  // namespace leat::proxy
