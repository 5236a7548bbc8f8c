// Which DestinationRule holds for a Service, and the subsets that it makes of the Service's endpoints.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "control/endpoints.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"
#include "control/reads.h"
#include "control/service_registry.h"

namespace leat::control {

class DestinationRules {
 public:
  using RulePtr = std::shared_ptr<const DestinationRule>;

  // Of several rules for one host the one in the Service's own namespace holds, then one in the root namespace, then
  // the oldest; the others are findings. So is one of a third namespace that holds: Istio takes it for clients of that
  // namespace alone.
  DestinationRules(const View& objects, const ServiceRegistry& services, const std::string& root_namespace,
                   Findings& findings);

  // The rule that names the Service, else the one with the longest wildcard; null: none.
  [[nodiscard]] const DestinationRule* of(const Name& service, const View& view) const;
  static Fact fact_of(const Name& service) { return fact("rule", service); }

  // What of() answers otherwise than `before` did.
  struct Difference {
    std::set<Name> services;
    bool wildcards = false;  // then of every Service that no rule names; that is no fact, for nearly all parts read it
  };
  [[nodiscard]] Difference since(const DestinationRules& before) const;

 private:
  struct Wildcard {
    Host host;
    RulePtr rule;
    bool operator==(const Wildcard&) const = default;
  };
  std::map<Name, RulePtr> by_service_;
  std::vector<Wildcard> wildcards_;  // the longest first, of one length the oldest
};

// Writes the rule's subsets into `model`, whose endpoints are those of `endpoints` in that order. A subset without any
// endpoint is a finding.
void add_subsets(const DestinationRule& rule, const ServiceEndpoints& endpoints, v1::Service& model,
                 Findings& findings);

}  // namespace leat::control
