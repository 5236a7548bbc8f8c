// Which DestinationRule holds for a Service, and the subsets that it makes of the Service's endpoints.
#pragma once

#include <map>
#include <vector>

#include "control/endpoints.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"
#include "control/service_registry.h"

namespace leat::control {

class DestinationRules {
 public:
  // Of several rules for one host the one in the Service's own namespace holds, then the oldest; the others are
  // findings.
  DestinationRules(const ObjectSet& objects, const ServiceRegistry& services, Findings& findings);

  // The rule that names the Service, else the one with the longest wildcard; null: none.
  [[nodiscard]] const DestinationRule* of(const Name& service) const;

 private:
  struct Wildcard {
    Host host;
    const DestinationRule* rule;
  };
  std::map<Name, const DestinationRule*> by_service_;
  std::vector<Wildcard> wildcards_;  // the longest first, of one length the oldest
};

// Writes the rule's subsets into `model`, whose endpoints are those of `endpoints` in that order. A subset without any
// endpoint is a finding.
void add_subsets(const DestinationRule& rule, const ServiceEndpoints& endpoints, v1::Service& model,
                 Findings& findings);

}  // namespace leat::control
