#include "control/destination_rule.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/differing_keys.h"

namespace leat::control {

namespace {

using Namespaces = std::optional<std::vector<std::string>>;  // absent: all

bool has(const Namespaces& namespaces, const std::string& name) {
  return !namespaces || std::ranges::binary_search(*namespaces, name);
}

// No client of another namespace may see it.
bool is_private(const DestinationRule& rule) {
  return rule.clients || (rule.visible_to && *rule.visible_to == std::vector{rule.meta.name.ns});
}

bool have_same_clients(const DestinationRule& left, const DestinationRule& right) {
  return left.meta.name.ns == right.meta.name.ns && left.visible_to == right.visible_to &&
         left.clients == right.clients;
}

v1::Finding lost(const DestinationRule& loser, const DestinationRule& winner) {
  return finding_on(Severity::kError, loser, "spec.host",
                    fmt::format("has no effect: {} is for the same host and comes first",
                                describe(DestinationRule::kKind, winner.meta.name)));
}

}  // namespace

bool ClientScope::covers(const ClientScope& other) const {
  return (!namespaces || (other.namespaces && std::ranges::includes(*namespaces, *other.namespaces))) &&
         selects(labels, other.labels);
}

bool ClientScope::meets(const Namespaces& others) const {
  return !namespaces || std::ranges::any_of(*namespaces, [&](const std::string& ns) { return has(others, ns); });
}

std::string text_of(const ClientScope& clients) {
  if (clients.is_everybody()) return "other clients";
  std::string text =
      clients.namespaces ? fmt::format("clients in {}", fmt::join(*clients.namespaces, ", ")) : "clients";
  for (const auto& [label, value] : clients.labels)
    text += fmt::format("{}{}={}", label == clients.labels.begin()->first ? " with " : ", ", label, value);
  return text;
}

const DestinationRule* for_everybody(const ScopedRules& rules) {
  return rules.empty() || !rules.back().clients.is_everybody() ? nullptr : rules.back().rule;
}

bool hold_for_all_in(const Namespaces& namespaces, const ScopedRules& rules) {
  if (!namespaces) return for_everybody(rules) != nullptr;
  return std::ranges::all_of(*namespaces, [&](const std::string& ns) {
    const ClientScope all_there{.namespaces = {{ns}}, .labels = {}};
    return std::ranges::any_of(rules, [&](const ScopedRule& scoped) { return scoped.clients.covers(all_there); });
  });
}

DestinationRules::DestinationRules(const View& objects, const ServiceRegistry& services,
                                   const std::string& root_namespace, Findings& findings)
    : root_namespace_(root_namespace) {
  std::vector<RulePtr> rules;
  for (const auto& [name, rule] : objects.all<DestinationRule>())
    rules.push_back(objects.objects().share<DestinationRule>(name));
  std::ranges::sort(rules, [](const RulePtr& left, const RulePtr& right) { return is_older(left->meta, right->meta); });

  const auto specificity_of = [](const Wildcard& one) { return one.host.specificity(); };
  for (const RulePtr& rule : rules) {
    const Host host(rule->host, rule->meta.name.ns);
    if (host.is_wildcard()) {
      const auto same = std::ranges::find_if(
          wildcards_, [&](const Wildcard& one) { return one.host == host && have_same_clients(*one.rule, *rule); });
      if (same != wildcards_.end()) {
        findings.push_back(lost(*rule, *same->rule));
      } else {
        wildcards_.insert(
            std::ranges::upper_bound(wildcards_, host.specificity(), std::ranges::greater{}, specificity_of),
            {host, rule});
      }
    } else if (const Service* service = services.find(host)) {
      by_service_[service->meta.name].push_back(rule);
    } else {
      findings.push_back(finding_on(Severity::kWarning, *rule, "spec.host",
                                    fmt::format("has no effect: no Service has the name '{}'", rule->host)));
    }
  }
  for (const auto& [service, named] : by_service_) check(service, findings);
}

ScopedRules DestinationRules::of(const Name& service, const View& view) const {
  view.note(fact_of(service));
  return choose(service, [](const DestinationRule&, const DestinationRule&) {});
}

std::vector<DestinationRules::Candidate> DestinationRules::candidates(const Name& service) const {
  constexpr size_t kNamed = std::numeric_limits<size_t>::max();
  const auto comes_first = [](const Candidate& left, const Candidate& right) {
    if (left.tier != right.tier) return left.tier < right.tier;
    if (left.specificity != right.specificity) return left.specificity > right.specificity;
    return left.rule->clients.has_value() && !right.rule->clients;
  };
  std::vector<Candidate> all;
  const auto add = [&](const DestinationRule& rule, size_t specificity) {
    const Candidate candidate{tier_of(rule, service), specificity, &rule};
    all.insert(std::ranges::upper_bound(all, candidate, comes_first), candidate);
  };
  if (const auto named = by_service_.find(service); named != by_service_.end()) {
    for (const RulePtr& rule : named->second) add(*rule, kNamed);
  }
  for (const auto& [host, rule] : wildcards_) {
    if (host.covers(service)) add(*rule, host.specificity());
  }
  return all;
}

// Clients of the root namespace have no namespace of their own here, but for what is for them alone (as in Istio): the
// rules there are for the whole mesh, and would come before those of each Service.
int DestinationRules::tier_of(const DestinationRule& rule, const Name& service) const {
  const std::string& ns = rule.meta.name.ns;
  if (ns == root_namespace_ && is_private(rule)) return 0;
  if (ns == service.ns) return 1;  // for its own clients, too: nothing of tier 0 is for them
  return ns == root_namespace_ ? 2 : 0;
}

ClientScope DestinationRules::clients_of(const DestinationRule& rule, const Name& service) const {
  const std::string& ns = rule.meta.name.ns;
  if (rule.clients) return {.namespaces = {{ns}}, .labels = *rule.clients};
  if (ns == service.ns || ns == root_namespace_) return {.namespaces = rule.visible_to, .labels = {}};
  ClientScope own{.namespaces = std::vector<std::string>(), .labels = {}};
  if (has(rule.visible_to, ns)) own.namespaces->push_back(ns);
  return own;
}

template <typename Hidden>
ScopedRules DestinationRules::choose(const Name& service, Hidden hidden) const {
  ScopedRules chosen;
  for (const Candidate& candidate : candidates(service)) {
    ClientScope clients = clients_of(*candidate.rule, service);
    if (clients.namespaces && clients.namespaces->empty()) continue;
    const auto before =
        std::ranges::find_if(chosen, [&](const ScopedRule& earlier) { return earlier.clients.covers(clients); });
    if (before == chosen.end()) {
      chosen.push_back({candidate.rule, std::move(clients)});
    } else {
      hidden(*candidate.rule, *before->rule);
    }
  }
  return chosen;
}

void DestinationRules::check(const Name& service, Findings& findings) const {
  const std::vector<RulePtr>& named = by_service_.at(service);
  const auto names_it = [&](const DestinationRule& rule) {
    return std::ranges::any_of(named, [&](const RulePtr& one) { return one.get() == &rule; });
  };
  static_cast<void>(choose(service, [&](const DestinationRule& loser, const DestinationRule& winner) {
    if (names_it(loser)) findings.push_back(lost(loser, winner));
  }));
  for (const RulePtr& rule : named) {
    const std::string& ns = rule->meta.name.ns;
    if (ns == service.ns || ns == root_namespace_ || rule->clients || !rule->visible_to || is_private(*rule)) continue;
    const bool holds = has(rule->visible_to, ns);
    findings.push_back(finding_on(
        holds ? Severity::kWarning : Severity::kError, *rule, "spec.exportTo",
        fmt::format("{}: for clients of other namespaces only rules of '{}' (the Service's) and '{}' (rootNamespace) "
                    "hold, beside their own",
                    holds ? fmt::format("holds for clients in '{}' alone", ns) : "has no effect", service.ns,
                    root_namespace_)));
  }
}

DestinationRules::Difference DestinationRules::since(const DestinationRules& before) const {
  return {.services = differing_keys(before.by_service_, by_service_), .wildcards = before.wildcards_ != wildcards_};
}

void add_subsets(const DestinationRule& rule, const Name& service, const ServiceEndpoints& endpoints,
                 v1::Service& model, Findings& findings) {
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
      findings.push_back(finding_at(Severity::kWarning, rule, spec.place, ".labels",
                                    fmt::format("selects no endpoint of Service {}", service.text())));
    }
  }
}

}  // namespace leat::control
