// Fairness between pods: how many connections one pod may have, so that no pod takes the descriptors of
// the others. One a worker; a pod's listeners of a kind belong to one worker, so its counts there are nearly all of
// them.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/mesh/mesh.h"

namespace leat::proxy {

class PodLimits {
 public:
  // `descriptors`: how many this process may have open. A connection through the proxy takes two.
  explicit PodLimits(uint64_t descriptors)
      : max_connections_(descriptors * limits::kPodShareOfDescriptorsPercent / 100 / 2) {}

 private:
  struct Counts {
    uint64_t connections = 0;
    uint64_t waiting = 0;  // tunnels that arrived before the pod's certificate
  };
  class Guard {
   public:
    Guard() = default;
    explicit Guard(uint64_t* count) : count_(count) { ++*count_; }
    Guard(Guard&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
    Guard& operator=(Guard&& other) noexcept {
      std::swap(count_, other.count_);
      return *this;
    }
    ~Guard() { release(); }
    void release() {
      if (uint64_t* count = std::exchange(count_, nullptr)) --*count;
    }
    explicit operator bool() const { return count_ != nullptr; }

   private:
    uint64_t* count_ = nullptr;
  };

 public:
  using Admission = Guard;  // false: refused; counts while it lives

  [[nodiscard]] Admission admit(const Workload& pod) { return take(counts_[pod.uid].connections, max_connections_); }
  [[nodiscard]] Admission admit_waiting(const Workload& pod) {
    return take(counts_[pod.uid].waiting, limits::kHandshakesAPod);
  }

  void forget_idle() {
    std::erase_if(counts_, [](const auto& item) { return item.second.connections == 0 && item.second.waiting == 0; });
  }

 private:
  static Guard take(uint64_t& count, uint64_t max) { return count < max ? Guard(&count) : Guard(); }

  uint64_t max_connections_;
  std::unordered_map<std::string, Counts> counts_;
};

}  // namespace leat::proxy
