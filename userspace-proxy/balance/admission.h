// How much may be open at once to the endpoints of a port, on this node: a place is taken before, and given back
// after. The counts are those of all workers together, and the bounds exact.
#pragma once

#include <optional>
#include <utility>

#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

enum class Limit : uint8_t { kConnections, kPending, kRequests, kRetries };

class Place {
 public:
  Place() = default;  // one without a bound
  Place(Place&& other) noexcept : pool_(std::move(other.pool_)), limit_(other.limit_) {}
  Place& operator=(Place&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(limit_, other.limit_);
    return *this;
  }
  ~Place();

  // Nothing: all places are taken, and nobody is counted as refused yet. Without a bound nothing is counted.
  static std::optional<Place> take(const Service::Port& port, Limit limit);
  // The same for those that do not wait for a place: refused, and counted.
  static std::optional<Place> take_now(const Service::Port& port, Limit limit);
  // Somebody went without a place.
  static void count_refused(const Service::Port& port, Limit limit);
  // 0: no bound.
  static uint32_t most(const Service::Port& port, Limit limit);

  [[nodiscard]] const LivePool* pool() const { return pool_.get(); }  // null: no bound

 private:
  Place(Ref<const LivePool> pool, Limit limit) : pool_(std::move(pool)), limit_(limit) {}
  Ref<const LivePool> pool_;
  Limit limit_ = Limit::kConnections;
};

}  // namespace leat::proxy
