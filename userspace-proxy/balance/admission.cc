#include "userspace-proxy/balance/admission.h"

namespace leat::proxy {
namespace {

SharedGauge& gauge(const LivePool& pool, Limit limit) {
  switch (limit) {
    case Limit::kConnections:
      return pool.state.connections;
    case Limit::kPending:
      return pool.state.pending;
    case Limit::kRequests:
      return pool.state.requests;
    case Limit::kRetries:
      break;
  }
  return pool.state.retries;
}

}  // namespace

Place::~Place() {
  if (!pool_) return;
  gauge(*pool_, limit_).leave();
  if (limit_ == Limit::kConnections) pool_->state.freed.wake_all();
}

uint32_t Place::most(const Service::Port& port, Limit limit) {
  if (!port.policy) return 0;
  const v1::ConnectionLimits& limits = port.policy->limits;
  switch (limit) {
    case Limit::kConnections:
      return limits.max_connections();
    case Limit::kPending:
      return limits.max_pending_requests();
    case Limit::kRequests:
      return limits.max_requests();
    case Limit::kRetries:
      break;
  }
  return limits.max_retries();
}

std::optional<Place> Place::take(const Service::Port& port, Limit limit) {
  const uint32_t bound = most(port, limit);
  if (bound == 0) return Place();
  if (!gauge(*port.live, limit).enter(bound)) return std::nullopt;
  return Place(port.live, limit);
}

std::optional<Place> Place::take_now(const Service::Port& port, Limit limit) {
  std::optional<Place> place = take(port, limit);
  if (!place) count_refused(port, limit);
  return place;
}

void Place::count_refused(const Service::Port& port, Limit limit) {
  port.live->state.refused[static_cast<size_t>(limit)].fetch_add(1, std::memory_order_relaxed);
}

}  // namespace leat::proxy
