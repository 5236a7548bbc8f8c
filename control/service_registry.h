// Every Service that objects can name: Kubernetes' own, and those that ServiceEntries make of other hosts.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/endpoints.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"
#include "control/pods.h"
#include "control/reads.h"

namespace leat::control {

class ServiceRegistry {
 public:
  // Of two entries for one host the older one holds. What of an entry can't be in force is a finding.
  ServiceRegistry(const View& objects, Findings& findings);

  [[nodiscard]] const Service* find(const Name& name) const;
  // The one that a host of an object names; null: none, or a wildcard.
  [[nodiscard]] const Service* find(const Host& host) const;

  // A host of a ServiceEntry, as the Service that it is: in the entry's namespace, by the host's name.
  struct External {
    Service service;
    const ServiceEntry* entry;
  };
  [[nodiscard]] const std::vector<External>& externals() const { return externals_; }  // by namespace and name
  [[nodiscard]] const External* external(const Name& name) const;
  // Whether entries are in force or not by such a Service being there.
  [[nodiscard]] bool is_contested(const Name& service) const { return contested_.contains(service); }
  [[nodiscard]] ServiceEndpoints endpoints_of(const External& external, const PodTable& pods, Findings& findings) const;
  // Several hosts have the address: what is spoken tells them apart.
  [[nodiscard]] bool is_shared(const IpAddress& vip) const;
  // The host's answer is another one. Returns the Service whose addresses are others by that; null: none is.
  const Service* answered(const std::string& host);

 private:
  const View& objects_;
  std::set<Name> contested_;
  std::vector<External> externals_;
  std::map<std::string, size_t> by_host_;
  std::map<IpAddress, uint32_t> owners_;  // how many hosts have an address
};

}  // namespace leat::control
