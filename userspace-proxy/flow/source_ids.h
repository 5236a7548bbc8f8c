// Aliases for clients outside the model: the agent hands out an id for an address, leased while a flow uses it. One a
// worker.
#pragma once

#include <unordered_map>
#include <utility>

#include "userspace-proxy/flow/agent_requests.h"
#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/wait_queue.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class SourceIds {
 public:
  SourceIds(ring::Loop& loop, const AgentRequests& agent) : loop_(loop), agent_(agent) {}

  // Keeps an address's id in use while it lives.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), address_(other.address_), id_(other.id_) {}
    Lease& operator=(Lease&& other) noexcept {
      std::swap(owner_, other.owner_), std::swap(address_, other.address_), std::swap(id_, other.id_);
      return *this;
    }
    ~Lease() {
      if (owner_) owner_->unuse(address_);
    }
    [[nodiscard]] uint32_t id() const { return id_; }

   private:
    friend class SourceIds;
    Lease(SourceIds* owner, const IpAddress& address, uint32_t id) : owner_(owner), address_(address), id_(id) {}
    SourceIds* owner_ = nullptr;
    IpAddress address_;
    uint32_t id_ = 0;
  };

  // The id of `address` for a flow to `pod`; kNoSourceId if the agent gives none before `deadline`.
  ring::Task<Outcome<Lease>> lease(const IpAddress& address, const Workload& pod, ring::Clock::time_point deadline);
  void arrived(const IpAddress& address, std::optional<uint32_t> id);

 private:
  struct Entry {
    std::optional<uint32_t> id;
    uint32_t users = 0;
    WaitQueue waiting;
  };
  void unuse(const IpAddress& address);

  ring::Loop& loop_;
  const AgentRequests& agent_;
  std::unordered_map<IpAddress, Entry> entries_;
};

}  // namespace leat::proxy
