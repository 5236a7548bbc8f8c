#include "control/destination_rule.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/differing_keys.h"

namespace leat::control {

DestinationRules::DestinationRules(const View& objects, const ServiceRegistry& services,
                                   const std::string& root_namespace, Findings& findings) {
  std::vector<RulePtr> rules;
  for (const auto& [name, rule] : objects.all<DestinationRule>())
    rules.push_back(objects.objects().share<DestinationRule>(name));
  std::ranges::sort(rules, [](const RulePtr& left, const RulePtr& right) { return is_older(left->meta, right->meta); });

  const auto loses = [&](const DestinationRule& loser, const DestinationRule& winner) {
    findings.push_back(finding_on(Severity::kError, loser, "spec.host",
                                  fmt::format("has no effect: {} is for the same host and comes first",
                                              describe(DestinationRule::kKind, winner.meta.name))));
  };
  const auto specificity_of = [](const Wildcard& one) { return one.host.specificity(); };
  for (RulePtr rule : rules) {
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
    const auto distance = [&](const DestinationRule& from) {
      if (from.meta.name.ns == winner->first.ns) return 0;
      return from.meta.name.ns == root_namespace ? 1 : 2;
    };
    if (distance(*rule) < distance(*winner->second)) std::swap(rule, winner->second);
    loses(*rule, *winner->second);
  }
  for (const auto& [service, rule] : by_service_) {
    const std::string& ns = rule->meta.name.ns;
    if (ns == service.ns || ns == root_namespace) continue;
    findings.push_back(finding_on(
        Severity::kWarning, *rule, "metadata.namespace",
        fmt::format("holds for clients of all namespaces, not of '{}' alone: no rule of '{}' or '{}' is for this host",
                    ns, service.ns, root_namespace)));
  }
}

const DestinationRule* DestinationRules::of(const Name& service, const View& view) const {
  view.note(fact_of(service));
  const auto own = by_service_.find(service);
  if (own != by_service_.end()) return own->second.get();
  const auto wildcard = std::ranges::find_if(wildcards_, [&](const Wildcard& one) { return one.host.covers(service); });
  return wildcard == wildcards_.end() ? nullptr : wildcard->rule.get();
}

DestinationRules::Difference DestinationRules::since(const DestinationRules& before) const {
  return {.services = differing_keys(before.by_service_, by_service_), .wildcards = before.wildcards_ != wildcards_};
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
      const bool inside =
          selects(spec.labels, endpoint.pod != nullptr ? endpoint.pod->pod->meta.labels : endpoint.labels);
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
