#include "userspace-proxy/flow/tunnel_pool.h"

#include <algorithm>

#include "bpf/alias.h"
#include "common/log.h"
#include "userspace-proxy/flow/dial.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

size_t TunnelPool::KeyHash::operator()(const Key& key) const {
  return std::hash<std::string>()(key.source_uid) * 31 + std::hash<std::string>()(key.destination_uid) * 7 +
         std::hash<IpAddress>()(key.address);
}

ring::Task<Outcome<TunnelStream>> TunnelPool::open(TunnelTarget target, hbone::ConnectRequest request,
                                                   EarlyBytes& early, ring::Clock::time_point deadline) {
  for (uint32_t attempt = 1;; ++attempt) {
    Outcome<TunnelStream> stream = co_await open_once(target, request, early, deadline);
    // A peer that was replaced or died took the request with it; no byte has reached an application, and the successor
    // has the same listeners.
    const bool again = !stream && stream.error() == Reason::kTunnelBroken && !early.out &&
                       attempt < limits::kStreamAttempts && worker_.loop.now() < deadline;
    if (!again) co_return stream;
  }
}

ring::Task<Outcome<TunnelStream>> TunnelPool::open_once(const TunnelTarget& target,
                                                        const hbone::ConnectRequest& request, EarlyBytes& early,
                                                        ring::Clock::time_point deadline) {
  Entry& entry = entries_[{target.source->uid, target.destination->uid, target.address}];
  entry.target = target;
  ++entry.users;
  const Outcome<TunnelConnection*> tunnel = co_await acquire(entry, deadline);
  --entry.users;
  if (!tunnel) co_return std::unexpected(tunnel.error());

  // A peer that may be dead gets a flow's bytes only with its answer, so that the flow can still go elsewhere.
  hbone::Session& session = (*tunnel)->session();
  early.out = !early.bytes.empty() && worker_.loop.now() - session.heard() < limits::kEarlyBytesTrust;
  TunnelStream stream(**tunnel, session.open(request, early.out ? early.bytes.share() : ring::Chain()));
  (*tunnel)->wake();
  const Reason refused = co_await stream.answer(deadline);
  if (stream.unprocessed()) early.out = false;
  if (refused != Reason::kNone) co_return std::unexpected(refused);
  co_return stream;
}

ring::Task<Outcome<TunnelConnection*>> TunnelPool::acquire(Entry& entry, ring::Clock::time_point deadline) {
  const uint64_t failures = entry.failures;
  for (;;) {
    if (entry.failures != failures) co_return std::unexpected(entry.last_failure);
    dial_more(entry);
    if (entry.failures != failures) co_return std::unexpected(entry.last_failure);
    if (TunnelConnection* tunnel = pick(entry)) co_return tunnel;
    if (!co_await entry.waiting.wait(worker_.loop, deadline)) co_return std::unexpected(Reason::kConnectTimeout);
  }
}

// The first that is not saturated; where all are, the one with the fewest streams; null where none takes another
// stream.
TunnelConnection* TunnelPool::pick(const Entry& entry) {
  TunnelConnection* fallback = nullptr;
  for (TunnelConnection* tunnel : entry.tunnels) {
    if (!tunnel->session().can_open()) continue;
    if (!tunnel->saturated()) return tunnel;
    if (!fallback || tunnel->session().active_streams() < fallback->session().active_streams()) fallback = tunnel;
  }
  return fallback;
}

void TunnelPool::dial_more(Entry& entry) {
  if (entry.dialing) return;
  const TunnelConnection* best = pick(entry);
  const bool crowded = best && best->saturated() && entry.tunnels.size() < limits::kTunnelsForBulk;
  if ((best && !crowded) || entry.tunnels.size() >= limits::kTunnelsADestination) return;
  // The whole time, however little the flow has left that wants it: others join. It ends just before a flow that has as
  // long, so that this one learns the reason.
  ring::start(dial(entry, worker_.loop.now() + worker_.connect_timeout() - std::chrono::milliseconds(1)));
}

ring::Task<void> TunnelPool::dial(Entry& entry, ring::Clock::time_point deadline) {
  ++entry.users;
  entry.dialing = true;
  const TunnelTarget target = entry.target;

  const Outcome<tls::CredentialsPtr> credentials = co_await worker_.identities.credentials(*target.source, deadline);
  Outcome<ring::Socket> socket = std::unexpected(Reason::kNoCertificate);
  if (credentials)
    socket =
        co_await dial_socket(worker_, *target.source, {target.address, LEAT_LISTENER_PORT}, std::nullopt, deadline);
  if (!socket) {
    dial_ended(entry, socket.error());
  } else {
    TunnelConnection* self = nullptr;
    TunnelConnection tunnel(worker_.loop, worker_.handshakes, std::move(*socket),
                            hbone::Tunnel::client(*credentials, {worker_.identity_of(*target.destination)},
                                                  worker_.loop.buffers(), worker_.hbone, worker_.loop.now()),
                            {.connect = {}, .changed = [&] { changed(entry, *self); }});
    self = &tunnel;
    co_await tunnel.run(deadline);
    if (!tunnel.peer()) {
      log::debug("tunnel {} -> {} failed: {}: {}", target.source->name, target.address.text(), name(tunnel.failure()),
                 tunnel.failure_text());
      dial_ended(entry, tunnel.failure());
    }
  }
  --entry.users;
}

void TunnelPool::changed(Entry& entry, TunnelConnection& tunnel) {
  const bool listed = std::ranges::find(entry.tunnels, &tunnel) != entry.tunnels.end();
  if (tunnel.open() && !listed) {
    entry.tunnels.push_back(&tunnel);
    dial_ended(entry, Reason::kNone);
  }
  if (tunnel.ended()) std::erase(entry.tunnels, &tunnel);
  while (pick(entry) && entry.waiting.wake_one()) {
  }
  if (!entry.waiting.empty()) dial_more(entry);
}

void TunnelPool::dial_ended(Entry& entry, Reason reason) {
  entry.dialing = false;
  if (reason == Reason::kNone) return;
  entry.last_failure = reason;
  ++entry.failures;
  entry.waiting.wake_all();
}

void TunnelPool::close_idle(ring::Clock::time_point before) {
  for (auto& [key, entry] : entries_) {
    for (TunnelConnection* tunnel : entry.tunnels) {
      if (tunnel->attached() == 0 && tunnel->idle_since() < before) tunnel->drain();
    }
  }
  std::erase_if(entries_, [](const auto& item) { return item.second.users == 0; });
}

void TunnelPool::drain() {
  for (auto& [key, entry] : entries_) {
    for (TunnelConnection* tunnel : entry.tunnels) tunnel->drain();
  }
}

void TunnelPool::pod_gone(const std::string& uid) {
  for (auto& [key, entry] : entries_) {
    if (key.source_uid != uid) continue;
    for (TunnelConnection* tunnel : entry.tunnels) tunnel->drain();
  }
}

size_t TunnelPool::tunnels() const {
  size_t sum = 0;
  for (const auto& [key, entry] : entries_) sum += entry.tunnels.size();
  return sum;
}

}  // namespace leat::proxy
