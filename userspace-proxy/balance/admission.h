// How much may be open at once to the endpoints of a port, on this node: a place is taken before, and given back
// after. The counts are all workers' together and the bounds exact.
#pragma once

#include <optional>
#include <utility>

#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class Place {
 public:
  using Gauge = SharedGauge LivePool::State::*;

  Place() = default;  // one without a bound
  Place(Place&& other) noexcept : pool_(std::move(other.pool_)), gauge_(other.gauge_) {}
  Place& operator=(Place&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(gauge_, other.gauge_);
    return *this;
  }
  ~Place() {
    if (pool_) (pool_->state.*gauge_).leave();
  }

  // Nothing: all `most` places are taken. 0: there is no bound, and nothing is counted.
  static std::optional<Place> take(const Service::Port& port, Gauge gauge, uint32_t most) {
    if (most == 0) return Place();
    if (!(port.live->state.*gauge).enter(most)) return std::nullopt;
    return Place(port.live, gauge);
  }

 private:
  Place(Ref<const LivePool> pool, Gauge gauge) : pool_(std::move(pool)), gauge_(gauge) {}
  Ref<const LivePool> pool_;
  Gauge gauge_ = nullptr;
};

}  // namespace leat::proxy
