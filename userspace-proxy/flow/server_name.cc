#include "userspace-proxy/flow/server_name.h"

#include "userspace-proxy/tls/client_hello.h"

namespace leat::proxy {
namespace {

using State = tls::ClientHelloReader::State;

void count(State state, const std::string& name, HelloCounters& counters) {
  switch (state) {
    case State::kMore:
      ++counters.late;
      break;
    case State::kWhole:
      ++(name.empty() ? counters.unnamed : counters.named);
      break;
    case State::kNotTls:
      ++counters.not_tls;
      break;
    case State::kTooLarge:
      ++counters.too_large;
      break;
  }
}

}  // namespace

ring::Task<std::string> read_server_name(ring::Loop& loop, HttpClient& client, ring::Clock::time_point deadline,
                                         HelloCounters& counters) {
  ring::Timer patience(loop.timers(), [&] { client.stream().socket()->cancel_recv(); });
  patience.arm(deadline);
  tls::ClientHelloReader reader;
  ring::Chain bytes;
  while (reader.state() == State::kMore) {
    ring::IoResult<ring::Chain> got = co_await client.recv();
    if (!got || got->empty()) break;
    for (const ring::Buffer& slice : got->slices()) reader.feed(slice.bytes());
    bytes.append(std::move(*got));
  }
  client.put_back(std::move(bytes));
  count(reader.state(), reader.server_name(), counters);
  co_return reader.server_name();
}

}  // namespace leat::proxy
