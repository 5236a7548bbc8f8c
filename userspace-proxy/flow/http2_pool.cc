#include "userspace-proxy/flow/http2_pool.h"

#include <algorithm>

#include "userspace-proxy/flow/any_stream.h"
#include "userspace-proxy/flow/read_ahead.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

const v1::ConnectionLimits& limits_of(const Ref<const Policy>& policy) {
  return policy ? policy->limits : v1::ConnectionLimits::default_instance();
}

uint32_t most_streams(const Ref<const Policy>& policy) {
  const uint32_t most = limits_of(policy).max_concurrent_streams();
  return most > 0 ? most : UINT32_MAX;
}

ring::Clock::duration idle_time(const Ref<const Policy>& policy) {
  const uint64_t own = limits_of(policy).http_idle_timeout_ms();
  return own > 0 ? ring::Clock::duration(std::chrono::milliseconds(own)) : limits::kTunnelIdle;
}

}  // namespace

ring::Task<Outcome<Http2Pool::Room>> Http2Pool::open(FlowRecord& record, const Service::Port& port,
                                                     const Backend& backend, const UpstreamKey& key,
                                                     ring::Clock::time_point deadline) {
  Entry& entry = entry_of(record, port, backend, key);
  if (entry.http1_until > worker_.loop.now()) co_return std::unexpected(Reason::kNotHttp2);
  ++entry.users;
  const Outcome<Shared*> acquired = co_await acquire(entry, port, record, backend, deadline);
  --entry.users;
  if (!acquired) co_return std::unexpected(acquired.error());
  Shared& shared = **acquired;
  record.take_way_from(shared.made);
  if (shared.requests_left > 0) shared.spent = --shared.requests_left == 0;
  co_return Room{HttpStream(*shared.connection), std::exchange(shared.used, true)};
}

Http2Pool::Entry& Http2Pool::entry_of(const FlowRecord& record, const Service::Port& port, const Backend& backend,
                                      const UpstreamKey& key) {
  Entry& entry = entries_[{key, port.policy.get(), port.live.get()}];
  if (!entry.source) {
    entry.source = record.source;
    entry.destination = backend.workload;
    entry.policy = port.policy;
    entry.live = port.live;
  }
  return entry;
}

ring::Task<Outcome<Http2Pool::Shared*>> Http2Pool::acquire(Entry& entry, const Service::Port& port,
                                                           const FlowFacts& facts, const Backend& backend,
                                                           ring::Clock::time_point deadline) {
  const uint64_t failures = entry.failures;
  while (entry.failures == failures) {
    const More more = dial_more(entry, port, facts, backend);
    if (entry.failures != failures) break;
    if (Shared* shared = pick(entry)) co_return shared;
    const bool no_place = more == More::kNoPlace;
    const bool nothing_here = no_place && entry.connections.empty();
    const bool woken =
        nothing_here ? co_await wait_for_place(entry, deadline) : co_await entry.waiting.wait(worker_.loop, deadline);
    if (woken) continue;
    if (no_place) Place::count_refused(port, Limit::kConnections);
    co_return std::unexpected(no_place ? Reason::kConnectionLimit : Reason::kConnectTimeout);
  }
  co_return std::unexpected(entry.last_failure);
}

Http2Pool::Shared* Http2Pool::pick(const Entry& entry) {
  for (Shared* shared : entry.connections) {
    if (shared->transport->stream().is_leaving()) {
      shared->connection->drain();
    } else if (!shared->spent && shared->connection->has_room(most_streams(entry.policy))) {
      return shared;
    }
  }
  return nullptr;
}

Http2Pool::More Http2Pool::dial_more(Entry& entry, const Service::Port& port, const FlowFacts& facts,
                                     const Backend& backend) {
  if (entry.dialing) return More::kUnderWay;
  if (pick(entry) || entry.connections.size() >= limits::kTunnelsADestination) return More::kEnough;
  std::optional<Place> place = Place::take(port, Limit::kConnections);
  if (!place) return More::kNoPlace;
  // The whole time, however little the request has left that wants it: others join. It ends just before a request that
  // has as long, so that this one learns the reason.
  const auto time = worker_.connect_timeout(entry.policy.get()) - std::chrono::milliseconds(1);
  ring::start(dial(entry, std::move(*place), facts, backend, worker_.loop.now() + time));
  return More::kUnderWay;
}

// Until there may be a place for a connection. An idle one of another pod, or to another endpoint, makes room.
ring::Task<bool> Http2Pool::wait_for_place(Entry& entry, ring::Clock::time_point deadline) {
  const LivePool& pool = *entry.live;
  pool.state.freed.add([this] { worker_.loop.post([this] { for_place_.wake_all(); }); });
  if (!end_idle(pool)) worker_.upstreams.end_idle(pool);
  if (pool.state.connections.value() < limits_of(entry.policy).max_connections()) co_return true;  // freed just now
  co_return co_await for_place_.wait(worker_.loop, deadline);
}

// The mesh is held until the connection is there.
ring::Task<Outcome<Upstream>> Http2Pool::dial_with(MeshRef mesh, FlowRecord& record, const Backend& backend,
                                                   ring::Clock::time_point deadline) {
  EarlyBytes none;
  co_return co_await proxy::dial(worker_, record, *mesh, backend, none, deadline, "h2");
}

ring::Task<void> Http2Pool::dial(Entry& entry, Place place, FlowFacts facts, Backend backend,
                                 ring::Clock::time_point deadline) {
  ++entry.users;
  entry.dialing = true;
  ++dialled_;
  FlowRecord record(std::move(facts));
  Outcome<Upstream> upstream = co_await dial_with(worker_.mesh(), record, backend, deadline);
  if (!upstream) {
    dial_ended(entry, upstream.error());
  } else {
    co_await run(entry, std::move(place), record, std::move(*upstream), deadline);
  }
  --entry.users;
}

// A connection's life. `deadline`: for the server's first word.
ring::Task<void> Http2Pool::run(Entry& entry, Place place, const FlowRecord& record, Upstream upstream,
                                ring::Clock::time_point deadline) {
  const v1::ConnectionLimits& policy = limits_of(entry.policy);
  ReadAhead<AnyStream> stream{AnyStream(std::move(upstream))};
  Shared shared{nullptr, &stream, record, std::move(place), policy.max_requests_per_connection()};
  bool open = false;
  bool late = false;
  Http2Connection connection(worker_.loop, http2::Session::Role::kClient, worker_.http2,
                             {.request = {}, .changed = [&] {
                                if (open) return changed(entry, shared);
                                open = shared.connection->session().peer_confirmed();
                                if (open || shared.connection->ended()) settled(entry, shared, late);
                              }});
  shared.connection = &connection;
  if (policy.http2_ping_interval_ms() > 0) {
    connection.keep_alive(std::chrono::milliseconds(policy.http2_ping_interval_ms()),
                          std::chrono::milliseconds(policy.http2_ping_timeout_ms()));
  }
  ring::Timer patience(worker_.loop.timers(), [&] {
    late = true;
    if (!open) stream.reset();
  });
  patience.arm(deadline);
  co_await connection.run(stream);
  co_await stream.close();
}

// The server has said what it speaks, or nothing of the kind.
void Http2Pool::settled(Entry& entry, Shared& shared, bool late) {
  if (shared.connection->session().peer_confirmed()) {
    entry.http1_until = {};
    if (!shared.connection->ended()) entry.connections.push_back(&shared);
    dial_ended(entry, Reason::kNone);
    return changed(entry, shared);
  }
  if (shared.connection->peer_speaks_http1()) {
    entry.http1_until = worker_.loop.now() + limits::kHttp1Remembered;
    return dial_ended(entry, Reason::kNotHttp2);
  }
  dial_ended(entry, late ? Reason::kConnectTimeout : Reason::kServerClosed);
}

void Http2Pool::changed(Entry& entry, Shared& shared) {
  if (shared.connection->ended()) std::erase(entry.connections, &shared);
  const LivePool* pool = shared.place.pool();
  const bool wanted_elsewhere =
      pool && shared.connection->attached() == 0 && entry.waiting.empty() && pool->state.freed.any();
  if (wanted_elsewhere || (shared.spent && shared.connection->unasked() == 0)) shared.connection->drain();
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

void Http2Pool::close_idle() {
  const auto now = worker_.loop.now();
  for (auto& [key, entry] : entries_) {
    const auto before = now - idle_time(entry.policy);
    for (Shared* shared : entry.connections) {
      const bool idle = shared->connection->attached() == 0 && shared->connection->idle_since() < before;
      if (idle || shared->transport->stream().is_leaving()) shared->connection->drain();
    }
  }
  std::erase_if(entries_, [&](const auto& item) { return item.second.users == 0 && item.second.http1_until <= now; });
}

bool Http2Pool::end_idle(const LivePool& pool) {
  for (auto& [key, entry] : entries_) {
    for (Shared* shared : entry.connections) {
      if (shared->place.pool() != &pool || shared->connection->attached() > 0 || shared->spent) continue;
      shared->spent = true;  // or it would be chosen while it ends
      shared->connection->drain();
      return true;
    }
  }
  return false;
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
