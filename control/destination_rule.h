// Which DestinationRule holds for which clients of a Service, and the subsets that it makes of the Service's endpoints.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/endpoints.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"
#include "control/reads.h"
#include "control/service_registry.h"

namespace leat::control {

// The clients that a rule holds for.
struct ClientScope {
  std::optional<std::vector<std::string>> namespaces;  // ascending; absent: all
  Labels labels;                                       // that their pods have

  [[nodiscard]] bool is_everybody() const { return !namespaces && labels.empty(); }
  [[nodiscard]] bool covers(const ClientScope& other) const;
  // Whether it may have clients in one of `others`; absent: all namespaces.
  [[nodiscard]] bool meets(const std::optional<std::vector<std::string>>& others) const;
};

// "clients in team with app=web", "other clients"
std::string text_of(const ClientScope& clients);

struct ScopedRule {
  const DestinationRule* rule;
  ClientScope clients;
};
// The first one that a client is of holds for it. None is covered by one before it, so only the last may be for
// everybody.
using ScopedRules = std::vector<ScopedRule>;
// Null: none.
const DestinationRule* for_everybody(const ScopedRules& rules);
// Whether all clients of the namespaces have one; absent: all namespaces.
bool hold_for_all_in(const std::optional<std::vector<std::string>>& namespaces, const ScopedRules& rules);

class DestinationRules {
 public:
  using RulePtr = std::shared_ptr<const DestinationRule>;

  // As in Istio, a client's own namespace is looked into first, then the Service's, then the root namespace; in one
  // namespace the host that says more comes first, of one host a rule for some pods, then the oldest. A rule that is
  // left without clients is a finding.
  DestinationRules(const View& objects, const ServiceRegistry& services, const std::string& root_namespace,
                   Findings& findings);

  // Those that hold for the Service, while this object lives.
  [[nodiscard]] ScopedRules of(const Name& service, const View& view) const;
  static Fact fact_of(const Name& service) { return fact("rule", service); }

  // What of() answers otherwise than `before` did.
  struct Difference {
    std::set<Name> services;
    bool wildcards = false;  // then of every Service that a wildcard may cover; that is no fact, for nearly all parts
                             // read it
  };
  [[nodiscard]] Difference since(const DestinationRules& before) const;

 private:
  struct Wildcard {
    Host host;
    RulePtr rule;
    bool operator==(const Wildcard&) const = default;
  };
  // One that covers a Service: the lowest tier is looked into first.
  struct Candidate {
    int tier;
    size_t specificity;
    const DestinationRule* rule;
  };
  [[nodiscard]] std::vector<Candidate> candidates(const Name& service) const;  // in the order of their precedence
  [[nodiscard]] int tier_of(const DestinationRule& rule, const Name& service) const;
  [[nodiscard]] ClientScope clients_of(const DestinationRule& rule, const Name& service) const;
  // `hidden`: called with each that is covered by one before it, and that one.
  template <typename Hidden>
  [[nodiscard]] ScopedRules choose(const Name& service, Hidden hidden) const;
  // What comes to nothing of those that name the Service.
  void check(const Name& service, Findings& findings) const;

  std::string root_namespace_;
  std::map<Name, std::vector<RulePtr>> by_service_;  // the oldest first
  std::vector<Wildcard> wildcards_;                  // the longest first, of one length the oldest
};

// Writes the rule's subsets into `model`, whose endpoints are those of `endpoints` in that order. A subset without any
// endpoint is a finding.
void add_subsets(const DestinationRule& rule, const Name& service, const ServiceEndpoints& endpoints,
                 v1::Service& model, Findings& findings);

}  // namespace leat::control
