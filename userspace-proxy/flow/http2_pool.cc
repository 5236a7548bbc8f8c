#include "userspace-proxy/flow/http2_pool.h"

#include <algorithm>

#include "userspace-proxy/flow/any_stream.h"
#include "userspace-proxy/flow/read_ahead.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

ring::Task<Outcome<Http2Pool::Room>> Http2Pool::open(FlowRecord& record, const Backend& backend, const UpstreamKey& key,
                                                     ring::Clock::time_point deadline) {
  Entry& entry = entries_[key];
  if (!entry.source) entry.source = record.source, entry.destination = backend.workload;
  ++entry.users;
  const Outcome<Shared*> shared = co_await acquire(entry, record, backend, deadline);
  --entry.users;
  if (!shared) co_return std::unexpected(shared.error());
  record.take_way_from((*shared)->made);
  co_return Room{HttpStream(*(*shared)->connection), std::exchange((*shared)->used, true)};
}

ring::Task<Outcome<Http2Pool::Shared*>> Http2Pool::acquire(Entry& entry, const FlowFacts& facts, const Backend& backend,
                                                           ring::Clock::time_point deadline) {
  const uint64_t failures = entry.failures;
  for (;;) {
    dial_more(entry, facts, backend);
    if (entry.failures != failures) co_return std::unexpected(entry.last_failure);
    if (Shared* shared = pick(entry)) co_return shared;
    if (!co_await entry.waiting.wait(worker_.loop, deadline)) co_return std::unexpected(Reason::kConnectTimeout);
  }
}

Http2Pool::Shared* Http2Pool::pick(const Entry& entry) {
  for (Shared* shared : entry.connections) {
    if (shared->transport->stream().is_leaving()) {
      shared->connection->drain();
    } else if (shared->connection->has_room()) {
      return shared;
    }
  }
  return nullptr;
}

void Http2Pool::dial_more(Entry& entry, const FlowFacts& facts, const Backend& backend) {
  if (entry.dialing || pick(entry) || entry.connections.size() >= limits::kTunnelsADestination) return;
  // The whole time, however little the request has left that wants it: others join. It ends just before a request that
  // has as long, so that this one learns the reason.
  ring::start(
      dial(entry, facts, backend, worker_.loop.now() + worker_.connect_timeout() - std::chrono::milliseconds(1)));
}

// The mesh is held until the connection is there.
ring::Task<Outcome<Upstream>> Http2Pool::dial_with(MeshRef mesh, FlowRecord& record, const Backend& backend,
                                                   ring::Clock::time_point deadline) {
  EarlyBytes none;
  co_return co_await proxy::dial(worker_, record, *mesh, backend, none, deadline);
}

ring::Task<void> Http2Pool::dial(Entry& entry, FlowFacts facts, Backend backend, ring::Clock::time_point deadline) {
  ++entry.users;
  entry.dialing = true;
  ++dialled_;
  FlowRecord record(std::move(facts));
  Outcome<Upstream> upstream = co_await dial_with(worker_.mesh(), record, backend, deadline);
  if (!upstream) {
    dial_ended(entry, upstream.error());
  } else {
    ReadAhead<AnyStream> stream{AnyStream(std::move(*upstream))};
    Shared shared{nullptr, &stream, record};
    Http2Connection connection(worker_.loop, http2::Session::Role::kClient, worker_.http2,
                               {.request = {}, .changed = [&] { changed(entry, shared); }});
    shared.connection = &connection;
    entry.connections.push_back(&shared);
    dial_ended(entry, Reason::kNone);
    changed(entry, shared);
    co_await connection.run(stream);
    co_await stream.close();
  }
  --entry.users;
}

void Http2Pool::changed(Entry& entry, Shared& shared) {
  if (shared.connection->ended()) std::erase(entry.connections, &shared);
  while (pick(entry) && entry.waiting.wake_one()) {
  }
  if (!entry.dialing && !entry.waiting.empty() && !pick(entry)) entry.waiting.wake_all();  // they dial
}

void Http2Pool::dial_ended(Entry& entry, Reason reason) {
  entry.dialing = false;
  if (reason == Reason::kNone) return;
  entry.last_failure = reason;
  ++entry.failures;
  entry.waiting.wake_all();
}

void Http2Pool::close_idle(ring::Clock::time_point before) {
  for (auto& [key, entry] : entries_) {
    for (Shared* shared : entry.connections) {
      const bool idle = shared->connection->attached() == 0 && shared->connection->idle_since() < before;
      if (idle || shared->transport->stream().is_leaving()) shared->connection->drain();
    }
  }
  std::erase_if(entries_, [](const auto& item) { return item.second.users == 0; });
}

void Http2Pool::drain() {
  for (auto& [key, entry] : entries_) {
    for (Shared* shared : entry.connections) shared->connection->drain();
  }
}

void Http2Pool::pod_gone(const std::string& uid) {
  for (auto& [key, entry] : entries_) {
    if (entry.source->uid != uid) continue;
    for (Shared* shared : entry.connections) shared->connection->drain();
  }
}

size_t Http2Pool::connections() const {
  size_t sum = 0;
  for (const auto& [key, entry] : entries_) sum += entry.connections.size();
  return sum;
}

}  // namespace leat::proxy
