// Kernel-direct connections: those that are there, by the iterator over their sockets' records, and those that closed,
// by the ring buffer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/capture/bpf_map.h"
#include "agent/capture/capture.h"
#include "bpf/types.h"

struct ring_buffer;

namespace leat::capture {

class FlowReader {
 public:
  static Result<FlowReader> open(const std::string& maps_folder, int iterator_program_fd);
  FlowReader(FlowReader&&) noexcept;
  ~FlowReader();

  Result<std::vector<DirectFlow>> open_flows();
  std::vector<DirectFlow> take_closed();
  [[nodiscard]] int closed_fd() const;
  [[nodiscard]] int map_fd() const { return records_.fd(); }

 private:
  struct RingDeleter {
    void operator()(ring_buffer* ring) const;
  };
  FlowReader(BpfMap<int, leat_flow> records, int iterator_program_fd);

  BpfMap<int, leat_flow> records_;  // socket storage: only its descriptor is used
  int iterator_program_fd_;
  std::unique_ptr<std::vector<DirectFlow>> closed_;  // the ring's callback holds its address
  std::unique_ptr<ring_buffer, RingDeleter> ring_;
};

}  // namespace leat::capture
