#include "agent/capture/numbers.h"

#include <bpf/libbpf.h>

#include <algorithm>

#include "agent/capture/best_effort.h"

namespace leat::capture {

namespace {

struct Named {
  const char* name;
  const char* help;
};
constexpr Named kCounters[] = {
#define LEAT_COUNTER_NAMED(name, help) {#name, help},
    LEAT_COUNTERS(LEAT_COUNTER_NAMED)
#undef LEAT_COUNTER_NAMED
};

// The maps that can run full, and what happens then.
constexpr Named kWatched[] = {
    {"namespaces", "a new pod fails to be captured, with this map's name"},
    {"pod_ports", "the plan is refused, with this map's name"},
    {"excluded_networks", "the plan is refused, with this map's name"},
    {"destinations", "the plan is refused, with this map's name"},
    {"alias_addresses", "the plan is refused, with this map's name"},
    {"services", "the plan is refused, with this map's name"},
    {"backends", "the plan is refused, with this map's name"},
    {"direct", "handshakes are not vouched for: STRICT pods refuse them (counter vouch_failed)"},
    {"ejected", "the backend that failed longest ago is tried again early"},
    {"proxy_ports", "a new pod fails to be captured, with this map's name"},
    {"edges", "closed direct flows miss in the totals (counter edges_full)"},
};

}  // namespace

Result<Numbers> Numbers::open(const std::string& maps_folder) {
  UniqueFd counter_map(bpf_obj_get((maps_folder + "/counters").c_str()));
  if (!counter_map) return fail_errno(errno, "opening the pinned map {}/counters", maps_folder);
  LEAT_TRY(auto edge_map, (BpfMap<leat_edge_key, leat_edge>::open(maps_folder, "edges")));
  std::vector<Watched> watched;
  for (const auto& [name, when_full] : kWatched) {
    UniqueFd fd(bpf_obj_get((maps_folder + "/" + name).c_str()));
    bpf_map_info info{};
    uint32_t size = sizeof info;
    if (!fd || bpf_obj_get_info_by_fd(fd.get(), &info, &size) != 0)
      return fail_errno(errno, "opening the pinned map {}/{}", maps_folder, name);
    watched.push_back({.fd = std::move(fd),
                       .name = name,
                       .capacity = info.max_entries,
                       .key_bytes = info.key_size,
                       .when_full = when_full,
                       .evicts = info.type == BPF_MAP_TYPE_LRU_HASH});
  }
  return Numbers(std::move(counter_map), std::move(edge_map), std::move(watched));
}

std::vector<leat_counters> Numbers::row(uint32_t index) const {
  std::vector<leat_counters> values(static_cast<size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(counters_.get(), &index, values.data()) != 0) values.clear();
  return values;
}

Result<std::vector<CounterValue>> Numbers::counters() const {
  std::vector<CounterValue> found;
  for (uint32_t index = 0; index <= LEAT_POD_HOST; ++index) {
    const auto values = row(index);
    if (values.empty()) return fail_errno(errno, "reading the capture counters");
    for (size_t reason = 0; reason < LEAT_COUNTERS_TOTAL; ++reason) {
      uint64_t sum = 0;
      for (const leat_counters& cpu : values) sum += cpu.by_reason[reason];
      if (sum == 0) continue;
      found.push_back({.name = kCounters[reason].name,
                       .help = kCounters[reason].help,
                       .pod_index = index < LEAT_PODS_MAX ? index : CounterValue::kNoPod,
                       .value = sum});
    }
  }
  return found;
}

Result<std::vector<DirectEdge>> Numbers::edges() const {
  std::vector<DirectEdge> found;
  for (const auto& [key, edge] : edges_.rows()) {
    found.push_back({.client_pod = key.client_pod,
                     .backend_pod = key.backend_pod,
                     .alias_id = key.alias,
                     .port = key.port,
                     .opened = edge.opened,
                     .closed = edge.closed,
                     .failed = edge.failed,
                     .bytes_sent = edge.bytes_sent,
                     .bytes_received = edge.bytes_received});
  }
  return found;
}

Result<std::vector<MapFill>> Numbers::map_fills() const {
  std::vector<MapFill> fills;
  for (const Watched& map : watched_) {
    MapFill fill{
        .name = map.name, .entries = 0, .capacity = map.capacity, .when_full = map.when_full, .evicts = map.evicts};
    std::vector<char> key(map.key_bytes);
    std::vector<char> next(map.key_bytes);
    for (const void* before = nullptr;
         fill.entries < map.capacity && bpf_map_get_next_key(map.fd.get(), before, next.data()) == 0;
         before = key.data()) {
      std::swap(key, next);
      ++fill.entries;
    }
    fills.push_back(std::move(fill));
  }
  return fills;
}

void Numbers::forget_pod(uint32_t pod_index) {
  for (const auto& [key, edge] : edges_.rows())
    if (key.client_pod == pod_index || key.backend_pod == pod_index) best_effort(edges_.erase(key));

  auto leaving = row(pod_index);
  auto node = row(LEAT_POD_HOST);
  if (leaving.empty() || node.size() != leaving.size()) return;
  for (size_t cpu = 0; cpu < node.size(); ++cpu)
    for (size_t reason = 0; reason < LEAT_COUNTERS_TOTAL; ++reason)
      node[cpu].by_reason[reason] += leaving[cpu].by_reason[reason];
  const uint32_t host = LEAT_POD_HOST;
  (void)bpf_map_update_elem(counters_.get(), &host, node.data(), BPF_ANY);
  std::ranges::fill(leaving, leat_counters{});
  (void)bpf_map_update_elem(counters_.get(), &pod_index, leaving.data(), BPF_ANY);
}

}  // namespace leat::capture
