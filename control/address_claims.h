// Which Services want which address as theirs, and who has it. Addresses of pods are no part of it.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/ip.h"
#include "control/objects.h"

namespace leat::control {

class AddressClaims {
 public:
  // Whether it is a host of a ServiceEntry, and its name.
  using Claimant = std::pair<bool, Name>;
  // Of several the first one holds: Kubernetes' before others, by name.
  using Claimants = std::set<Claimant>;

  void clear() { claims_.clear(); }
  // `own` wants the addresses `after`, and wanted `before` until now. Returns the others who may have an address now,
  // or not any more.
  std::set<Name> change(const Claimant& own, const std::set<IpAddress>& before, const std::set<IpAddress>& after);

  // Null: nobody wants it.
  [[nodiscard]] const Claimants* find(const IpAddress& vip) const;
  // Of one that somebody wants.
  [[nodiscard]] const Claimant& owner(const IpAddress& vip) const { return *claims_.at(vip).begin(); }
  // Those whose alias it has: its owner, and others of the same address, which hosts of ServiceEntries may share.
  [[nodiscard]] std::vector<Name> named_by(const IpAddress& vip) const;

 private:
  std::map<IpAddress, Claimants> claims_;
};

}  // namespace leat::control
