#include "control/destination_rule.h"

#include <algorithm>

#include <fmt/format.h>

namespace leat::control {

DestinationRules::DestinationRules(const ObjectSet& objects, const ServiceRegistry& services, Findings& findings) {
  std::vector<const DestinationRule*> rules;
  for (const auto& [name, rule] : objects.all<DestinationRule>()) rules.push_back(&rule);
  std::ranges::sort(rules, [](const auto* left, const auto* right) { return is_older(left->meta, right->meta); });

  const auto loses = [&](const DestinationRule& loser, const DestinationRule& winner) {
    findings.push_back(finding_on(Severity::kError, loser, "spec.host",
                                  fmt::format("has no effect: {} is for the same host and comes first",
                                              describe(DestinationRule::kKind, winner.meta.name))));
  };
  const auto specificity_of = [](const Wildcard& one) { return one.host.specificity(); };
  for (const DestinationRule* rule : rules) {
    const Host host(rule->host, rule->meta.name.ns);
    if (host.is_wildcard()) {
      const auto same = std::ranges::find(wildcards_, host, &Wildcard::host);
      if (same != wildcards_.end()) {
        loses(*rule, *same->rule);
      } else {
        wildcards_.insert(
            std::ranges::upper_bound(wildcards_, host.specificity(), std::ranges::greater{}, specificity_of),
            {host, rule});
      }
      continue;
    }
    const Service* service = services.find(host);
    if (service == nullptr) {
      findings.push_back(finding_on(Severity::kWarning, *rule, "spec.host",
                                    fmt::format("has no effect: no Service has the name '{}'", rule->host)));
      continue;
    }
    const auto [winner, first] = by_service_.emplace(service->meta.name, rule);
    if (first) continue;
    const std::string& home = winner->first.ns;
    if (rule->meta.name.ns == home && winner->second->meta.name.ns != home) std::swap(rule, winner->second);
    loses(*rule, *winner->second);
  }
}

const DestinationRule* DestinationRules::of(const Name& service) const {
  const auto own = by_service_.find(service);
  if (own != by_service_.end()) return own->second;
  const auto wildcard = std::ranges::find_if(wildcards_, [&](const Wildcard& one) { return one.host.covers(service); });
  return wildcard == wildcards_.end() ? nullptr : wildcard->rule;
}

void add_subsets(const DestinationRule& rule, const ServiceEndpoints& endpoints, v1::Service& model,
                 Findings& findings) {
  for (const SubsetSpec& spec : rule.subsets) {
    const auto index = static_cast<uint32_t>(model.subsets_size());
    v1::Subset& subset = *model.add_subsets();
    subset.set_name(spec.name);
    bool any = false;
    auto entry = model.mutable_endpoints()->begin();
    for (const auto& [address, endpoint] : endpoints) {
      // An endpoint that is no known pod has no labels.
      const bool inside =
          endpoint.pod != nullptr ? selects(spec.labels, endpoint.pod->pod->meta.labels) : spec.labels.empty();
      if (inside) entry->add_subsets(index);
      any |= inside;
      ++entry;
    }
    if (!any && !rule.host.starts_with('*')) {
      findings.push_back(
          finding_at(Severity::kWarning, rule, spec.place, ".labels",
                     fmt::format("selects no endpoint of Service {}/{}", model.namespace_(), model.name())));
    }
  }
}

}  // namespace leat::control
