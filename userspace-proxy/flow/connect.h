// The step from a service's endpoints to a connection with one of them.
#pragma once

#include <utility>

#include "userspace-proxy/balance/admission.h"
#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

// A connection, counted as the endpoint's while it lives.
template <typename Upstream>
struct Connected {
  Upstream upstream;
  Balancer::Use use;
  // Of an opaque connection: its place among those that the policy allows, and the policy; null: the defaults.
  Place place;
  Ref<const Policy> policy;
};

// Another endpoint may do better; with any other reason it would not.
bool is_endpoints_fault(Reason reason);

// One endpoint after the other, until one is connected or the time is up. An attempt that is not the last may take half
// of what is left. `connect`: (const Backend&, deadline) → Task<Outcome<Upstream>>. `elsewhere`: asked after a failure,
// whether another may have what this one could have got.
template <typename Upstream, typename Connect, typename Elsewhere>
ring::Task<Outcome<Connected<Upstream>>> connect_to_one_of(Worker& worker, FlowRecord& record, Candidates& candidates,
                                                           ring::Clock::time_point deadline, Connect connect,
                                                           Elsewhere elsewhere) {
  Reason failure = Reason::kNoEndpoint;
  for (uint8_t attempt = 0; attempt < limits::kMaxAttempts; ++attempt) {
    const auto now = worker.loop.now();
    const Backend* backend = now < deadline ? candidates.next() : nullptr;
    if (!backend) break;
    ++record.attempts;
    Balancer::Use use = worker.balancer.use(candidates.service(), candidates.port(), *backend, now);
    Outcome<Upstream> upstream = co_await connect(*backend, candidates.more() ? now + (deadline - now) / 2 : deadline);
    if (upstream) {
      worker.balancer.succeeded(backend->target, use, worker.loop.now());
      co_return Connected<Upstream>{std::move(*upstream), std::move(use), {}, {}};
    }
    failure = upstream.error();
    if (!is_endpoints_fault(failure)) break;
    worker.balancer.failed(backend->target, use, worker.loop.now());
    if (!elsewhere()) break;
  }
  co_return std::unexpected(failure);
}

}  // namespace leat::proxy
