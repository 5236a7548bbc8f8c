// Every Service that objects can name: Kubernetes' own, and those that ServiceEntries make of other hosts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/endpoints.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"
#include "control/pods.h"

namespace leat::control {

class ServiceRegistry {
 public:
  // Of two entries for one host the older one holds. What of an entry can't be in force is a finding.
  ServiceRegistry(const ObjectSet& objects, Findings& findings);

  [[nodiscard]] const Service* find(const Name& name) const;
  // The one that a host of an object names; null: none, or a wildcard.
  [[nodiscard]] const Service* find(const Host& host) const;

  // A host of a ServiceEntry, as the Service that it is: in the entry's namespace, by the host's name.
  struct External {
    Service service;
    const ServiceEntry* entry;
  };
  [[nodiscard]] const std::vector<External>& externals() const { return externals_; }  // by namespace and name
  static ServiceEndpoints endpoints_of(const External& external, const PodTable& pods, Findings& findings);

 private:
  const ObjectSet& objects_;
  std::vector<External> externals_;
  std::map<std::string, size_t> by_host_;
};

}  // namespace leat::control
