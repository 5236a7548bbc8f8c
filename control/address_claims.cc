#include "control/address_claims.h"

#include <ranges>

namespace leat::control {

std::set<Name> AddressClaims::change(const Claimant& own, const std::set<IpAddress>& before,
                                     const std::set<IpAddress>& after) {
  std::set<Name> affected;
  const auto owner_may_change = [&](const Claimants& claimants) {
    for (const auto& [external, other] : claimants) {
      if (other != own.second) affected.insert(other);
    }
  };
  const Claimant other_kind(!own.first, own.second);
  for (const IpAddress& vip : before) {
    if (after.contains(vip)) continue;
    const auto claims = claims_.find(vip);
    claims->second.erase(own);
    claims->second.erase(other_kind);
    owner_may_change(claims->second);
    if (claims->second.empty()) claims_.erase(claims);
  }
  for (const IpAddress& vip : after) {
    Claimants& claimants = claims_[vip];
    claimants.erase(other_kind);
    if (claimants.insert(own).second) owner_may_change(claimants);
  }
  return affected;
}

const AddressClaims::Claimants* AddressClaims::find(const IpAddress& vip) const {
  const auto claims = claims_.find(vip);
  return claims == claims_.end() ? nullptr : &claims->second;
}

std::vector<Name> AddressClaims::named_by(const IpAddress& vip) const {
  const Claimants& claimants = claims_.at(vip);
  std::vector<Name> names{claimants.begin()->second};
  if (!claimants.begin()->first) return names;
  for (const auto& [external, name] : claimants | std::views::drop(1)) names.push_back(name);
  return names;
}

}  // namespace leat::control
