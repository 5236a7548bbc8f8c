#include "userspace-proxy/flow/hedge.h"

#include <algorithm>

#include "userspace-proxy/flow/connect.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

const Backend* next_but(Candidates& candidates, const SocketAddress& asked) {
  const Backend* next = candidates.next();
  return next && next->target == asked ? candidates.next() : next;
}

}  // namespace

ring::Detached ask_another(Worker& worker, Ref<const Hedge> hedge, FlowFacts flow, ChosenTarget target,
                           SocketAddress asked, HttpVersion version, ring::Clock::time_point deadline) {
  const auto now = worker.loop.now();
  Candidates candidates = worker.balancer.candidates(*target.service, *target.port, false, now, target.hash.hash);
  const Backend* backend = next_but(candidates, asked);
  if (!backend) co_return;
  FlowRecord record(std::move(flow));
  Balancer::Use use = worker.balancer.use(*target.service, *target.port, *backend, now);
  const auto until = std::min(now + worker.connect_timeout(target.port->policy.get()), deadline);
  Outcome<UpstreamPtr> upstream =
      co_await worker.upstreams.connect(record, *target.port, *backend, version, UpstreamPool::Reuse::kAny, until);
  if (!upstream) {
    if (is_endpoints_fault(upstream.error())) worker.balancer.failed(backend->target, use, worker.loop.now());
    co_return;
  }
  worker.balancer.succeeded(backend->target, use, worker.loop.now());
  if (hedge->race && hedge->race(*upstream, std::move(use))) co_return;
  const bool shared = (*upstream)->stream.stream().request() != nullptr;
  shared ? worker.upstreams.end(std::move(*upstream), false) : worker.upstreams.put(std::move(*upstream));
}

}  // namespace leat::proxy
