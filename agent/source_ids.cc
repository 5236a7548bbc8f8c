#include "agent/source_ids.h"

#include <charconv>
#include <ranges>

#include "agent/limits.h"

namespace leat::agent {

Result<uint32_t> SourceIds::lease(const std::string& instance, const std::string& pod, const IpAddress& address) {
  if (const auto known = book_.find({address})) {
    const auto held = leases_.find({instance, *known});
    if (held != leases_.end()) {
      held->second.claim_until.reset();
      return *known;
    }
  }
  size_t& used = leases_of_pod_[pod];
  if (used >= limits::kMaxSourceIdsAPod) {
    return fail(ErrorCode::kExhausted, "pod {} has {} clients from outside the mesh at a time, its quota", pod, used);
  }
  LEAT_TRY(const uint32_t id, book_.hold({address}));
  ++used;
  leases_.emplace(std::pair(instance, id), Lease{address, pod, std::nullopt});
  ++version_;
  return id;
}

bool SourceIds::release(const std::string& instance, uint32_t id) {
  const auto found = leases_.find({instance, id});
  if (found == leases_.end()) return false;
  end(found);
  return true;
}

void SourceIds::release_all(const std::string& instance) {
  for (auto lease = leases_.lower_bound({instance, 0}); lease != leases_.end() && lease->first.first == instance;)
    end(lease++);
}

void SourceIds::claim_anew(const std::string& instance, Time until) {
  for (auto lease = leases_.lower_bound({instance, 0}); lease != leases_.end() && lease->first.first == instance;
       ++lease)
    lease->second.claim_until = until;
}

bool SourceIds::release_unclaimed(Time now) {
  bool more = false;
  for (auto lease = leases_.begin(); lease != leases_.end();) {
    const auto next = std::next(lease);
    const auto until = lease->second.claim_until;
    if (until && *until <= now) end(lease);
    more |= until && *until > now;
    lease = next;
  }
  return more;
}

void SourceIds::end(Leases::iterator lease) {
  book_.release({lease->second.address});
  const auto used = leases_of_pod_.find(lease->second.pod);
  if (--used->second == 0) leases_of_pod_.erase(used);
  leases_.erase(lease);
  ++version_;
}

std::map<uint32_t, IpAddress> SourceIds::leased() const {
  std::map<uint32_t, IpAddress> by_id;
  for (const auto& [key, lease] : leases_) by_id.emplace(key.second, lease.address);
  return by_id;
}

// A line a lease: instance, pod, address.
std::string SourceIds::save() const {
  std::string text;
  for (const auto& [key, lease] : leases_)
    text += fmt::format("{} {} {}\n", key.first, lease.pod, lease.address.text());
  return text;
}

Result<void> SourceIds::load(std::string_view text, Time until) {
  for (const auto part : std::views::split(text, '\n')) {
    const std::string_view line(part.begin(), part.end());
    if (line.empty()) continue;
    const size_t first = line.find(' ');
    const size_t second = line.rfind(' ');
    const auto address = second == line.npos ? std::nullopt : IpAddress::parse(line.substr(second + 1));
    if (!address || first == second) return fail(ErrorCode::kInvalid, "a saved source id can't be read: `{}`", line);
    LEAT_TRY_VOID(
        lease(std::string(line.substr(0, first)), std::string(line.substr(first + 1, second - first - 1)), *address));
  }
  for (auto& [key, lease] : leases_) lease.claim_until = until;
  return {};
}

}  // namespace leat::agent
