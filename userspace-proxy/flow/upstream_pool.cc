#include "userspace-proxy/flow/upstream_pool.h"

#include <algorithm>

#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

UpstreamConnection::UpstreamConnection(Upstream upstream, const UpstreamKey& key, const FlowRecord& record)
    : stream(AnyStream(std::move(upstream))),
      key_(key),
      source_(record.source),
      destination_(record.destination),
      peer_(record.peer),
      path_(record.path),
      security_(record.security) {}

UpstreamConnection::UpstreamConnection(Http2Pool::Room room, const UpstreamKey& key, const FlowRecord& record)
    : stream(AnyStream(std::move(room.stream))),
      key_(key),
      source_(record.source),
      destination_(record.destination),
      peer_(record.peer),
      path_(record.path),
      security_(record.security),
      reused_(room.reused) {}

void UpstreamConnection::limit(Place place, const Service::Port& port) {
  counts_for_ = port.live;
  limited_ = std::move(place);
  if (!port.policy) return;
  const v1::ConnectionLimits& policy = port.policy->limits;
  requests_left_ = policy.max_requests_per_connection();
  if (policy.http_idle_timeout_ms() > 0) keep_idle_ = std::chrono::milliseconds(policy.http_idle_timeout_ms());
}

void UpstreamConnection::show_in(FlowRecord& record) const {
  if (record.destination != destination_) record.destination = destination_;
  if (record.peer != peer_) record.peer = peer_;
  record.server = key_.target;
  record.path = path_;
  record.security = security_;
}

ring::Task<Outcome<UpstreamPtr>> UpstreamPool::connect(FlowRecord& record, const Service::Port& port,
                                                       const Backend& backend, HttpVersion version, Reuse reuse,
                                                       ring::Clock::time_point deadline) {
  const MeshRef mesh = worker_.mesh();
  const Way way = way_to(*mesh, backend);
  const UpstreamKey key{record.source.get(), backend.workload.get(), backend.target, way,
                        way == Way::kTls ? backend.policy->origin : nullptr};
  if (version != HttpVersion::k1) {
    Outcome<UpstreamPtr> shared = co_await share(record, port, backend, key, deadline);
    const bool only_http1 = !shared && shared.error() == Reason::kNotHttp2;
    if (!only_http1 || version == HttpVersion::k2) co_return shared;
  }
  std::optional<Place> place;
  for (;;) {
    if (UpstreamPtr idle = take(key, port, reuse)) {
      const Reason denied = policy_on(way, worker_, *record.source, backend);  // it may have changed meanwhile
      idle->show_in(record);
      if (denied == Reason::kNone) co_return idle;
      end(std::move(idle), false);
      co_return std::unexpected(denied);
    }
    place = Place::take(port, Limit::kConnections);
    if (place) break;
    if (!co_await room(port, deadline)) {
      Place::count_refused(port, Limit::kConnections);
      co_return std::unexpected(Reason::kConnectionLimit);
    }
  }
  EarlyBytes none;
  Outcome<Upstream> upstream = co_await dial(worker_, record, *mesh, backend, none, deadline, "http/1.1");
  if (!upstream) co_return std::unexpected(upstream.error());
  auto connection = std::make_unique<UpstreamConnection>(std::move(*upstream), key, record);
  connection->limit(std::move(*place), port);
  co_return connection;
}

ring::Task<Outcome<UpstreamPtr>> UpstreamPool::share(FlowRecord& record, const Service::Port& port,
                                                     const Backend& backend, const UpstreamKey& key,
                                                     ring::Clock::time_point deadline) {
  const Reason denied = policy_on(key.way, worker_, *record.source, backend);  // it may have changed meanwhile
  if (denied != Reason::kNone) co_return std::unexpected(denied);
  Outcome<Http2Pool::Room> room = co_await worker_.http2_upstreams.open(record, port, backend, key, deadline);
  if (!room) co_return std::unexpected(room.error());
  co_return std::make_unique<UpstreamConnection>(std::move(*room), key, record);
}

// Until there may be a connection to have, or a place for a new one. False: there was none up to `deadline`. An idle
// connection of another pod, or to another endpoint, makes room.
ring::Task<bool> UpstreamPool::room(const Service::Port& port, ring::Clock::time_point deadline) {
  const LivePool* pool = port.live.get();
  if (!worker_.http2_upstreams.end_idle(*pool)) end_idle(*pool);
  pool->state.freed.add([this] { worker_.loop.post([this] { waiting_.wake_all(); }); });
  if (pool->state.connections.value() < Place::most(port, Limit::kConnections)) co_return true;  // freed just now
  co_return co_await waiting_.wait(worker_.loop, deadline);
}

// One that was made for another port with the same endpoint, or before there was a policy, needs a place here.
UpstreamPtr UpstreamPool::take(const UpstreamKey& key, const Service::Port& port, Reuse reuse) {
  while (UpstreamPtr idle = take(key, reuse)) {
    if (idle->counts_for_ == port.live) return idle;
    if (std::optional<Place> place = Place::take(port, Limit::kConnections)) {
      idle->limit(std::move(*place), port);
      return idle;
    }
    end(std::move(idle), false);
  }
  return nullptr;
}

UpstreamPtr UpstreamPool::take(const UpstreamKey& key, Reuse reuse) {
  if (reuse == Reuse::kNone) return nullptr;
  const auto found = idle_.find(key);
  if (found == idle_.end() || found->second.empty()) return nullptr;
  UpstreamConnection& last_used = *found->second.back();
  const auto idle_for = worker_.loop.now() - last_used.idle_since_;
  if (reuse == Reuse::kRecent && idle_for > limits::kUpstreamFresh) return nullptr;
  ++reused_;
  return remove(last_used);
}

void UpstreamPool::put(UpstreamPtr connection) {
  UpstreamConnection& idle = *connection;
  // It has ended, or said more than was asked; or its tunnel is to end.
  if (idle.stream.ahead() || idle.stream.stream().is_leaving()) return end(std::move(connection), false);
  if (idle.requests_left_ > 0 && --idle.requests_left_ == 0) return end(std::move(connection), false);
  // Another worker can't use it, but its place.
  const LivePool* pool = idle.limited_.pool();
  if (pool && waiting_.empty() && pool->state.freed.any()) return end(std::move(connection), false);
  auto& siblings = idle_[idle.key_];
  if (siblings.size() >= limits::kIdleUpstreamsABackend) end(remove(*siblings.front()), false);
  if (by_age_.size() >= limits::kIdleUpstreams) end(remove(least_wanted(*idle.source_)), false);
  idle.reused_ = true;
  idle.idle_since_ = worker_.loop.now();
  idle.stream.on_early([this, &idle] { end(remove(idle), false); });
  by_age_.splice(by_age_.end(), idle.out_, idle.place_);
  siblings.push_back(std::move(connection));
  if (!waiting_.empty()) waiting_.wake_all();
  idle.stream.watch();  // it may end at once, and then leaves the pool again
}

// The oldest; of a pod that has a large share of all, its own: who fills the pool displaces no other's.
UpstreamConnection& UpstreamPool::least_wanted(const Workload& pod) const {
  const auto is_own = [&](const UpstreamConnection* each) { return each->source_.get() == &pod; };
  const auto own = static_cast<size_t>(std::ranges::count_if(by_age_, is_own));
  if (own * 100 <= by_age_.size() * limits::kPodShareOfIdlePercent) return *by_age_.front();
  return **std::ranges::find_if(by_age_, is_own);
}

UpstreamPtr UpstreamPool::remove(UpstreamConnection& connection) {
  connection.stream.on_early({});
  connection.out_.splice(connection.out_.end(), by_age_, connection.place_);
  auto& siblings = idle_[connection.key_];
  const auto at = siblings.back().get() == &connection ? std::prev(siblings.end())
                                                       : std::ranges::find(siblings, &connection, &UpstreamPtr::get);
  UpstreamPtr removed = std::move(*at);
  siblings.erase(at);  // the others stay in their order
  return removed;
}

void UpstreamPool::end(UpstreamPtr connection, bool at_once) { ring::start(retire(std::move(connection), at_once)); }

// A tunnel's stream goes in peace only if both of its directions end, which takes the server's help.
ring::Task<void> UpstreamPool::retire(UpstreamPtr connection, bool at_once) {
  ++ending_;
  auto& stream = connection->stream;
  if (!at_once && stream.stream().is_tunnel()) {
    ring::Timer patience(worker_.loop.timers(), [&] { stream.reset(); });
    patience.arm(worker_.loop.now() + limits::kLinger);
    stream.finish();
    for (bool open = true; open;) {
      const ring::IoResult<ring::Chain> got = co_await stream.recv();
      open = got && !got->empty();
    }
    static_cast<void>(co_await stream.hangup());
  }
  if (at_once) stream.reset();
  co_await stream.close();
  --ending_;
}

void UpstreamPool::end_idle(const LivePool& pool) {
  const auto idle = std::ranges::find_if(by_age_, [&](const auto* each) { return each->limited_.pool() == &pool; });
  if (idle != by_age_.end()) end(remove(**idle), false);
}

template <typename Choose>
void UpstreamPool::end_chosen(Choose choose) {
  for (auto next = by_age_.begin(); next != by_age_.end();) {
    UpstreamConnection& connection = **next++;
    if (choose(connection)) end(remove(connection), false);
  }
}

void UpstreamPool::close_idle() {
  const auto now = worker_.loop.now();
  end_chosen([&](const UpstreamConnection& each) { return now - each.idle_since_ >= each.keep_idle_; });
  std::erase_if(idle_, [](const auto& item) { return item.second.empty(); });
}

void UpstreamPool::close_all_idle() {
  end_chosen([](const UpstreamConnection&) { return true; });
}

void UpstreamPool::pod_gone(const std::string& uid) {
  end_chosen([&](const UpstreamConnection& each) { return each.source_->uid == uid; });
}

}  // namespace leat::proxy
