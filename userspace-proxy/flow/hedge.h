// A second endpoint asked for the same request, because the first is slow: who answers first serves it. The request may
// be over before the second one is connected, so this outlives it.
#pragma once

#include <functional>

#include "userspace-proxy/balance/balancer.h"
#include "userspace-proxy/flow/choose_target.h"
#include "userspace-proxy/flow/upstream_pool.h"
#include "userspace-proxy/mesh/ref.h"

namespace leat::proxy {

struct Hedge : RefCounted {
  // Given a connection to another endpoint; false: it is not wanted any more. Empty once the request is over.
  using Race = std::function<bool(UpstreamPtr&, Balancer::Use)>;
  explicit Hedge(Race with) : race(std::move(with)) {}
  mutable Race race;
};

// Connects to an endpoint of `target` other than the one at `asked`, in the name of `flow`, and gives it to `hedge`.
// Without one, or without success, nothing happens.
ring::Detached ask_another(Worker& worker, Ref<const Hedge> hedge, FlowFacts flow, ChosenTarget target,
                           SocketAddress asked, HttpVersion version, ring::Clock::time_point deadline);

}  // namespace leat::proxy
