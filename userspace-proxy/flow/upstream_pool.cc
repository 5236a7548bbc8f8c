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

void UpstreamConnection::show_in(FlowRecord& record) const {
  if (record.destination != destination_) record.destination = destination_;
  if (record.peer != peer_) record.peer = peer_;
  record.server = key_.target;
  record.path = path_;
  record.security = security_;
}

ring::Task<Outcome<UpstreamPtr>> UpstreamPool::connect(FlowRecord& record, const Backend& backend, HttpVersion version,
                                                       Reuse reuse, ring::Clock::time_point deadline) {
  const MeshRef mesh = worker_.mesh();
  const Way way = way_to(*mesh, backend);
  const UpstreamKey key{record.source.get(), backend.workload.get(), backend.target, way};
  if (version == HttpVersion::k2) {
    const Reason denied = policy_on(way, worker_, *record.source, backend);  // it may have changed meanwhile
    if (denied != Reason::kNone) co_return std::unexpected(denied);
    Outcome<Http2Pool::Room> room = co_await worker_.http2_upstreams.open(record, backend, key, deadline);
    if (!room) co_return std::unexpected(room.error());
    co_return std::make_unique<UpstreamConnection>(std::move(*room), key, record);
  }
  if (UpstreamPtr idle = take(key, reuse)) {
    const Reason denied = policy_on(way, worker_, *record.source, backend);  // it may have changed meanwhile
    idle->show_in(record);
    if (denied == Reason::kNone) co_return idle;
    end(std::move(idle), false);
    co_return std::unexpected(denied);
  }
  EarlyBytes none;
  Outcome<Upstream> upstream = co_await dial(worker_, record, *mesh, backend, none, deadline);
  if (!upstream) co_return std::unexpected(upstream.error());
  co_return std::make_unique<UpstreamConnection>(std::move(*upstream), key, record);
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
  auto& siblings = idle_[idle.key_];
  if (siblings.size() >= limits::kIdleUpstreamsABackend) end(remove(*siblings.front()), false);
  if (by_age_.size() >= limits::kIdleUpstreams) end(remove(least_wanted(*idle.source_)), false);
  idle.reused_ = true;
  idle.idle_since_ = worker_.loop.now();
  idle.stream.on_early([this, &idle] { end(remove(idle), false); });
  idle.stream.watch();
  by_age_.splice(by_age_.end(), idle.out_, idle.place_);
  siblings.push_back(std::move(connection));
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

void UpstreamPool::close_idle(ring::Clock::time_point before) {
  while (!by_age_.empty() && by_age_.front()->idle_since_ <= before) end(remove(*by_age_.front()), false);
  std::erase_if(idle_, [](const auto& item) { return item.second.empty(); });
}

void UpstreamPool::pod_gone(const std::string& uid) {
  for (auto next = by_age_.begin(); next != by_age_.end();) {
    UpstreamConnection& connection = **next++;
    if (connection.source_->uid == uid) end(remove(connection), false);
  }
}

}  // namespace leat::proxy
