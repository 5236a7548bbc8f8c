#include "userspace-proxy/balance/hash_table.h"

#include <algorithm>
#include <cmath>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace leat::proxy {
namespace {

uint64_t mix(uint64_t key, uint64_t salt) { return XXH64(&key, sizeof key, salt); }

bool is_prime(size_t number) {
  for (size_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number >= 2;
}

}  // namespace

uint64_t hash_of(std::string_view text, uint64_t seed) { return XXH64(text.data(), text.size(), seed); }

HashTable HashTable::ring(std::span<const Host> hosts, size_t least_points) {
  HashTable table;
  if (hosts.empty()) return table;
  double total = 0;
  uint32_t lightest = hosts[0].weight;
  for (const Host& host : hosts) {
    total += host.weight;
    lightest = std::min(lightest, host.weight);
  }
  // The lightest host gets a whole number of points, the others accordingly.
  const double wanted = static_cast<double>(std::min(least_points, kMostRingPoints));
  const double points_of_lightest =
      std::min(std::ceil(wanted * lightest / total), static_cast<double>(kMostRingPoints) * lightest / total);
  std::vector<std::pair<uint64_t, uint32_t>> points;
  for (uint32_t index = 0; index < hosts.size(); ++index) {
    const auto count =
        std::max<uint64_t>(1, static_cast<uint64_t>(points_of_lightest * hosts[index].weight / lightest));
    for (uint64_t point = 0; point < count; ++point) points.emplace_back(mix(hosts[index].key, point), index);
  }
  std::ranges::sort(points);
  for (const auto& [point, host] : points) {
    table.points_.push_back(point);
    table.hosts_.push_back(host);
  }
  return table;
}

HashTable HashTable::maglev(std::span<const Host> hosts, size_t entries) {
  constexpr uint32_t kFree = 0xffffffff;
  if (entries > kMostMaglevEntries || !is_prime(entries)) entries = kMaglevEntries;
  HashTable table;
  if (hosts.empty()) return table;
  struct Turn {
    uint64_t at;    // the entry that it wants next
    uint64_t step;  // 1 … entries - 1: with a prime it meets every entry
    double earned = 0;
  };
  std::vector<Turn> turns;
  uint32_t heaviest = 0;
  for (const Host& host : hosts) {
    turns.push_back({.at = mix(host.key, 1) % entries, .step = mix(host.key, 2) % (entries - 1) + 1});
    heaviest = std::max(heaviest, host.weight);
  }
  table.hosts_.assign(entries, kFree);
  for (size_t filled = 0; filled < entries;) {
    for (uint32_t index = 0; index < hosts.size() && filled < entries; ++index) {
      Turn& turn = turns[index];
      turn.earned += hosts[index].weight;
      if (turn.earned < heaviest) continue;  // a lighter host skips turns
      turn.earned -= heaviest;
      while (table.hosts_[turn.at] != kFree) turn.at = (turn.at + turn.step) % entries;
      table.hosts_[turn.at] = index;
      ++filled;
    }
  }
  return table;
}

size_t HashTable::slot_of(uint64_t key) const {
  if (points_.empty()) return hosts_.empty() ? 0 : key % hosts_.size();
  const auto next_point = std::ranges::lower_bound(points_, key);
  return next_point == points_.end() ? 0 : static_cast<size_t>(next_point - points_.begin());
}

}  // namespace leat::proxy
