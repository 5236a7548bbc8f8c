// Consistent hashing: the same key goes to the same host, on every node and after every restart, and a host that comes
// or goes moves few keys but its own. Immutable; made by the control thread, read by all workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "userspace-proxy/mesh/ref.h"

namespace leat::proxy {

uint64_t hash_of(std::string_view text, uint64_t seed = 0);

class HashTable : public RefCounted {
 public:
  static constexpr size_t kRingPoints = 1024;      // at least
  static constexpr size_t kMaglevEntries = 65537;  // a prime
  // Envoy's bounds. A ring of more points, where weights are far apart, is made coarser.
  static constexpr size_t kMostRingPoints = 8'388'608;
  static constexpr size_t kMostMaglevEntries = 5'000'011;

  struct Host {
    uint64_t key = 0;     // what it is known by: the hash of its address
    uint32_t weight = 1;  // ≥ 1
  };
  // Points of each host on a circle, by weight; a key belongs to the next point.
  static HashTable ring(std::span<const Host> hosts, size_t least_points);
  // Google's Maglev: a table that the hosts fill in turns, each in its own order. Spreads keys more evenly than a ring,
  // and moves a few more when hosts change. What `entries` can't be (no prime, too many) is the default.
  static HashTable maglev(std::span<const Host> hosts, size_t entries);

  // The hosts that a key prefers, the best first: host(slot), host(next(slot)) …, some more than once.
  [[nodiscard]] size_t slot_of(uint64_t key) const;
  [[nodiscard]] size_t next(size_t slot) const { return slot + 1 == hosts_.size() ? 0 : slot + 1; }
  [[nodiscard]] uint32_t host(size_t slot) const { return hosts_[slot]; }  // an index into the hosts it was made of
  [[nodiscard]] size_t size() const { return hosts_.size(); }

 private:
  HashTable() = default;
  std::vector<uint64_t> points_;  // of a ring, ascending; of a Maglev table: none
  std::vector<uint32_t> hosts_;
};

}  // namespace leat::proxy
