#include "userspace-proxy/flow/http_flow.h"

#include "userspace-proxy/flow/http_exchange.h"
#include "userspace-proxy/flow/http_request.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

using Waits = HttpConnections::Waits;
using Head = HttpExchange::Head;

class HttpFlow {
 public:
  HttpFlow(Worker& worker, FlowRecord& record, HttpClient& client, HttpConnections::Place& place,
           const IpAddress& alias)
      : worker_(worker), record_(record), client_(client), place_(place), alias_(alias) {}

  ring::Task<void> run();

 private:
  ring::Task<bool> serve(ring::Chain first);
  ring::Task<Outcome<void>> read_rest_of_head(HttpExchange& exchange);
  ring::Task<void> read_what_is_left();

  Worker& worker_;
  FlowRecord& record_;
  HttpClient& client_;
  HttpConnections::Place& place_;
  IpAddress alias_;
  HttpRequestEnd last_;      // how the last request ended, which is how the connection did
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
  if (last_.verdict == Verdict::kReset) {
    client_.reset();
  } else if (bytes_left_) {
    co_await read_what_is_left();
  }
  last_.relayed ? record_.close(*last_.relayed) : record_.close(last_.verdict, last_.reason);
}

// One request. False: the connection has to end. Not inlined: its frame would be a part of the idle connection's.
[[gnu::noinline]] ring::Task<bool> HttpFlow::serve(ring::Chain first) {
  const auto started = worker_.loop.now();
  last_ = {};
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
  record_.requests_open = 1;

  if (place_.pod_gone()) exchange.end_connection();
  last_ = co_await serve_request(worker_, record_, client_, exchange, alias_, valid, started);
  record_.requests_open = 0;
  bytes_left_ = exchange.leaves_bytes();
  co_return exchange.connection_goes_on() && !place_.pod_gone() && last_.verdict != Verdict::kReset && !last_.relayed;
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
