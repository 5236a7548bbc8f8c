#include "userspace-proxy/flow/worker.h"

#include <random>

#include "common/log.h"
#include "userspace-proxy/flow/inbound_hbone.h"
#include "userspace-proxy/flow/inbound_plaintext.h"
#include "userspace-proxy/flow/outbound.h"

namespace leat::proxy {

using namespace std::chrono_literals;

Worker::Worker(ring::Loop& on, Options options)
    : options_(std::move(options)),
      loop(on),
      flows(options_.index, *options_.closed_sequence),
      balancer(std::random_device{}()),
      broker(on, options_.agent),
      source_ids(on, options_.agent),
      identities(on),
      handshakes(on),
      pods(options_.descriptors),
      tunnels(*this),
      upstreams(*this),
      http2_upstreams(*this),
      spans(*this),
      access_log(on, options_.log),
      tap(*options_.tapped_sequence),
      tending_(on.timers(), [this] { tend(); }),
      random_(std::random_device{}()) {
  flows.on_closed([this](const FlowFacts& flow) {
    connections.closed(flow, loop.now());
    access_log.write(flow);
  });
  balancer.on_ejection = [this](const Ejection& ejection) { log_ejection(ejection); };
  tend();
}

void Worker::set_mesh(MeshRef mesh) {
  mesh_ = std::move(mesh);
  spans.configure(mesh_->settings());
  access_log.configure(mesh_->settings());
}

SpiffeId Worker::identity_of(const Workload& pod) const {
  return {mesh_->settings().trust_domain(), pod.namespace_, pod.service_account};
}

std::chrono::milliseconds Worker::connect_timeout(const Policy* policy) const {
  if (policy && policy->limits.connect_timeout_ms() > 0)
    return std::chrono::milliseconds(policy->limits.connect_timeout_ms());
  const uint32_t configured = mesh_->settings().connect_timeout_ms();
  return configured > 0 ? std::chrono::milliseconds(configured) : limits::kConnectTimeout;
}

void Worker::tend() {
  options_.beat();
  http.end_overdue(loop.now());
  upstreams.close_idle();
  http2_upstreams.close_idle();
  tap.tend(loop.now());
  if (loop.now() >= next_trim_) {
    next_trim_ = loop.now() + limits::kTrimInterval;
    loop.buffers().trim();
    balancer.forget_idle(loop.now());
    retry_budgets.forget_idle(loop.now());
    broker.trim();
    pods.forget_idle();
    tunnels.close_idle(loop.now() - limits::kTunnelIdle);
    http2_clients.drain_idle(loop.now() - limits::kClientIdle);
  }
  if (loop.now() >= next_expiry_) {
    next_expiry_ = loop.now() + limits::kRequestSeriesCheck;
    requests.expire(loop.now());
    connections.expire(loop.now());
  }
  if (drained_ && quiet()) std::exchange(drained_, nullptr)();
  tending_.arm(loop.now() + (drained_ ? limits::kDrainCheck : limits::kBeat));
}

void Worker::log_ejection(const Ejection& ejection) {
  if (loop.now() >= ejection_lines_until_) {
    ejection_lines_until_ = loop.now() + 1s;
    ejection_lines_ = 0;
  }
  if (++ejection_lines_ > limits::kEjectionLinesASecond) return;  // the counters have them all
  const std::string& subset = ejection.port.subset;
  log::info("{}:{}{}: the endpoint {} is left out for {} ms after {} {} in a row", ejection.service.key,
            ejection.port.port, subset.empty() ? "" : " (" + subset + ")", ejection.backend.target.text(),
            ejection.lasts.count(), ejection.failures, ejection.cause);
}

// ---- listeners

void Worker::add_listener(const ListenerKey& key, UniqueFd listener) {
  remove_listener(key);
  auto acceptor = std::make_unique<ring::Acceptor>(
      loop, std::move(listener), [this, key](UniqueFd connection) { accepted(key, std::move(connection)); },
      [this, key](int error) {
        log::warn("the listener of {} (role {}{}) died: {}; the agent makes another", key.uid,
                  static_cast<int>(key.role), key.ipv6 ? ", IPv6" : "", strerrorname_np(error));
        options_.listener_died(key);
      });
  if (armed_) acceptor->arm();
  acceptors_[key] = std::move(acceptor);
}

void Worker::remove_listener(const ListenerKey& key) {
  const auto found = acceptors_.find(key);
  if (found == acceptors_.end()) return;
  ring::start(retire(std::move(found->second)));
  acceptors_.erase(found);
}

void Worker::pod_gone(const std::string& uid) {
  broker.pod_gone(uid);
  http.pod_gone(uid);
  http2_clients.pod_gone(uid);
  upstreams.pod_gone(uid);
  tunnels.pod_gone(uid);
  http2_upstreams.pod_gone(uid);
  inbound_tunnels.pod_gone(uid);
}

ring::Task<void> Worker::retire(std::unique_ptr<ring::Acceptor> acceptor) { co_await acceptor->disarm(); }

void Worker::arm() {
  armed_ = true;
  for (auto& [key, acceptor] : acceptors_) {
    if (!acceptor->armed()) acceptor->arm();
  }
}

void Worker::disarm(std::function<void()> done) {
  armed_ = false;
  ring::start(disarm_all(std::move(done)));
}

ring::Task<void> Worker::disarm_all(std::function<void()> done) {
  std::vector<std::unique_ptr<ring::Acceptor>> retiring;
  for (auto& [key, acceptor] : acceptors_) retiring.push_back(std::move(acceptor));
  acceptors_.clear();
  for (auto& acceptor : retiring) co_await acceptor->disarm();
  done();
}

void Worker::accepted(const ListenerKey& key, UniqueFd connection) {
  ++accepted_;
  WorkloadRef pod = mesh_->workload(key.uid);
  if (!pod) {  // it has left the model: a reset, never a clean end
    ++unknown_pod_;
    return ring::Socket(loop, std::move(connection)).reset();
  }
  switch (key.role) {
    case v1::LISTENER_OUTBOUND:
      return ring::start(outbound(*this, std::move(connection), std::move(pod)));
    case v1::LISTENER_HBONE:
      return ring::start(inbound_tunnel(*this, std::move(connection), std::move(pod)));
    case v1::LISTENER_PLAINTEXT:
      return ring::start(inbound_plaintext(*this, std::move(connection), std::move(pod)));
    default:
      return;  // add_listener() is given these three
  }
}

// ---- leaving

void Worker::drain(std::function<void()> done) {
  drained_ = std::move(done);
  http.drain();
  http2_clients.drain();
  inbound_tunnels.drain();
  spans.drain();
  tend();
}

// Flows that were accepted may still need tunnels, so those end last, with a proper goodbye: one that is cut off takes
// with it what is still on its way.
bool Worker::quiet() {
  if (flows.open_flows() > 0 || inbound_tunnels.size() > 0 || !spans.quiet()) return false;
  upstreams.close_all_idle();
  http2_upstreams.drain();
  tunnels.drain();
  return tunnels.tunnels() == 0 && http2_upstreams.connections() == 0 && upstreams.ending() == 0;
}

}  // namespace leat::proxy
