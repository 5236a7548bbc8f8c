// agent/sources/: where the objects come from: a folder of files (file_source.h), or a cluster's API server
// (kubernetes/kubernetes_source.h). The rest of the agent does not know which. Used by the agent's one thread.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "common/event_loop.h"
#include "control/findings.h"
#include "control/objects.h"

namespace leat::sources {

class Source {
 public:
  using Changed = std::function<void(EventLoop::Clock::time_point seen)>;

  virtual ~Source() = default;
  // Watches from now on. `changed` is called once the objects are there, and then after each change of objects or
  // findings. Until the first call nobody may act on objects(): they are not all there, which would look as if they
  // were gone.
  virtual void watch(EventLoop& loop, Changed changed) = 0;

  [[nodiscard]] virtual const control::ObjectSet& objects() const = 0;
  [[nodiscard]] virtual control::Findings findings() const = 0;

  // The pods of this node that are captured now: what nodes of one cluster tell each other.
  virtual void publish(const std::vector<const v1::Workload*>& captured) = 0;
};

}  // namespace leat::sources
