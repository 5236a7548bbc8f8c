#include "userspace-proxy/flow/source_ids.h"

namespace leat::proxy {

ring::Task<Outcome<SourceIds::Lease>> SourceIds::lease(const IpAddress& address, const Workload& pod,
                                                       ring::Clock::time_point deadline) {
  const auto [found, fresh] = entries_.try_emplace(address);
  Entry& entry = found->second;
  ++entry.users;
  Lease use(this, address, 0);  // from here on every way out gives the use back
  if (fresh) agent_.source_id(address, pod.uid);
  if (!entry.id) static_cast<void>(co_await entry.waiting.wait(loop_, deadline));
  if (!entry.id) co_return std::unexpected(Reason::kNoSourceId);
  use.id_ = *entry.id;
  co_return use;
}

void SourceIds::arrived(const IpAddress& address, std::optional<uint32_t> id) {
  const auto found = entries_.find(address);
  if (found == entries_.end()) return;  // its flows have gone meanwhile, and the release is on its way
  found->second.id = id;
  found->second.waiting.wake_all();
}

void SourceIds::unuse(const IpAddress& address) {
  const auto found = entries_.find(address);
  if (--found->second.users > 0) return;
  entries_.erase(found);
  agent_.source_id_unused(address);
}

}  // namespace leat::proxy
