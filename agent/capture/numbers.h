// Counters, totals an edge, and how full the maps are.
#pragma once

#include <string>
#include <vector>

#include "agent/capture/bpf_map.h"
#include "agent/capture/capture.h"
#include "bpf/counters.h"
#include "bpf/types.h"

namespace leat::capture {

class Numbers {
 public:
  static Result<Numbers> open(const std::string& maps_folder);

  Result<std::vector<CounterValue>> counters() const;
  Result<std::vector<DirectEdge>> edges() const;
  Result<std::vector<MapFill>> map_fills() const;

  // The pod's index may soon be another pod's: its edges end and its counts move to the row of the node.
  void forget_pod(uint32_t pod_index);

 private:
  struct Watched {
    UniqueFd fd;
    std::string name;
    uint32_t capacity = 0;
    uint32_t key_bytes = 0;
    std::string when_full;
    bool evicts = false;
  };
  Numbers(UniqueFd counter_map, BpfMap<leat_edge_key, leat_edge> edge_map, std::vector<Watched> watched)
      : counters_(std::move(counter_map)), edges_(std::move(edge_map)), watched_(std::move(watched)) {}

  // One row of `counters` with a value a CPU, as the kernel hands it over.
  [[nodiscard]] std::vector<leat_counters> row(uint32_t index) const;

  UniqueFd counters_;
  BpfMap<leat_edge_key, leat_edge> edges_;
  std::vector<Watched> watched_;
};

}  // namespace leat::capture
