// What an HTTP/1.1 message costs without sockets: a request of 700 bytes as a service behind a browser sees it, a short
// response, and a chunk; each read, and read and written again.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string_view>

#include "common/check.h"
#include "userspace-proxy/http1/reader.h"
#include "userspace-proxy/http1/writer.h"

namespace {

using namespace leat;

constexpr std::string_view kRequest =
    "GET /catalogue/products/7c1f2a90?currency=EUR&page=3&page_size=50 HTTP/1.1\r\n"
    "Host: catalogue.shop.svc.cluster.local:8080\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: de-CH,de;q=0.7,en;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "X-Request-Id: 5f0d2c1e-63b7-4b52-9a38-1d8a0c1b7e44\r\n"
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
    "Cookie: session=eyJ1c2VyIjoiNDcxMSIsImNhcnQiOlsxLDIsM119.c2lnbmF0dXJl; theme=dark; consent=all; "
    "seen=2031,2087,2101,2144,2150,2163,2177,2190; returning=1; experiment=checkout-b\r\n"
    "Cache-Control: no-cache\r\n"
    "\r\n";
static_assert(kRequest.size() > 680 && kRequest.size() < 720);

constexpr std::string_view kResponse =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 2\r\n"
    "Date: Mon, 06 Jan 2025 10:00:00 GMT\r\n"
    "Connection: keep-alive\r\n"
    "\r\n{}";

// A received block that holds one message, handed out again and again.
class Received {
 public:
  Received(ring::BufferPool& pool, std::string_view bytes) : block_(pool.allocate()) {
    std::memcpy(block_.data(), bytes.data(), bytes.size());
    block_.grow(static_cast<uint32_t>(bytes.size()));
  }
  [[nodiscard]] ring::Chain again() const { return ring::Chain(block_.share(0, block_.size())); }

 private:
  ring::Buffer block_;
};

void read_request(benchmark::State& state) {
  ring::BufferPool pool(8);
  const Received received(pool, kRequest);
  http1::RequestReader reader;
  ring::Chain body;
  for (auto _ : state) {
    ring::Chain input = received.again();
    LEAT_CHECK(reader.read(input, body) == http1::Step::kHead, "a good head");
    LEAT_CHECK(reader.read(input, body) == http1::Step::kEnd, "a good message");
    reader.next();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kRequest.size()));
}
BENCHMARK(read_request);

void forward_request(benchmark::State& state) {
  ring::BufferPool pool(8);
  const Received received(pool, kRequest);
  http1::RequestReader reader;
  ring::Chain body;
  for (auto _ : state) {
    ring::Chain input = received.again();
    ring::Chain out;
    LEAT_CHECK(reader.read(input, body) == http1::Step::kHead, "a good head");
    LEAT_CHECK(http1::write_request(out, pool, reader.head()), "blocks");
    LEAT_CHECK(reader.read(input, body) == http1::Step::kEnd, "a good message");
    reader.next();
    benchmark::DoNotOptimize(out.slices().data());
  }
}
BENCHMARK(forward_request);

void forward_response(benchmark::State& state) {
  ring::BufferPool pool(8);
  const Received received(pool, kResponse);
  http1::ResponseReader reader;
  for (auto _ : state) {
    ring::Chain input = received.again();
    ring::Chain out;
    LEAT_CHECK(reader.read(input, out) == http1::Step::kHead, "a good head");
    LEAT_CHECK(http1::write_response(out, pool, reader.head(), {}), "blocks");
    LEAT_CHECK(reader.read(input, out) == http1::Step::kEnd, "a good message");
    reader.next({});
    benchmark::DoNotOptimize(out.slices().data());
  }
}
BENCHMARK(forward_response);

void forward_chunk(benchmark::State& state) {
  ring::BufferPool pool(8);
  const Received head(pool, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  const Received received(pool, "20\r\n0123456789abcdef0123456789abcdef\r\n");
  http1::ResponseReader reader;
  ring::Chain input = head.again();
  ring::Chain body;
  LEAT_CHECK(reader.read(input, body) == http1::Step::kHead, "a good head");
  for (auto _ : state) {
    ring::Chain out;
    input = received.again();
    LEAT_CHECK(reader.read(input, body) == http1::Step::kNeedMore, "a good chunk");
    LEAT_CHECK(http1::write_chunk(out, pool, body), "blocks");
    benchmark::DoNotOptimize(out.slices().data());
  }
}
BENCHMARK(forward_chunk);

// A head of one long field, byte by byte: the time for a byte must not grow with the head.
void read_trickle(benchmark::State& state) {
  ring::BufferPool pool(8);
  const Received start(pool, "GET / HTTP/1.1\r\nCookie: ");
  const Received more(pool, "c");
  ring::Chain body;
  for (auto _ : state) {
    http1::RequestReader reader;
    ring::Chain input = start.again();
    LEAT_CHECK(reader.read(input, body) == http1::Step::kNeedMore, "a good start");
    for (int64_t i = 0; i < state.range(0); ++i) {
      input = more.again();
      LEAT_CHECK(reader.read(input, body) == http1::Step::kNeedMore, "a good byte");
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(read_trickle)->Arg(1000)->Arg(60000);

}  // namespace

BENCHMARK_MAIN();
