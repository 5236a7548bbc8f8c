// Spans that wait for their way to the collector, by the pod whose requests they tell of. One a worker.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "otlp.pb.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class SpanQueue {
 public:
  struct Batch {
    WorkloadRef pod;
    std::vector<otlp::Span> spans;
    // As an ExportTraceServiceRequest.
    [[nodiscard]] std::string serialize() const;
  };

  void add(const Workload& pod, otlp::Span span);
  // Of the pod that has waited longest.
  std::optional<Batch> take();

  [[nodiscard]] bool empty() const { return batches_.empty(); }
  [[nodiscard]] size_t size() const { return size_; }

 private:
  std::deque<Batch> batches_;  // the last one of a pod may have room
  size_t size_ = 0;
};

}  // namespace leat::proxy
