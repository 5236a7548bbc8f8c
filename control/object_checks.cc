#include "control/object_checks.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "control/findings.h"
#include "control/network_policy.h"

namespace leat::control {

void ObjectChecks::update(Tables::Keys keys, const std::vector<PodTable::Change>& pod_changes, FindingList& findings) {
  check_pods(keys, findings);
  check_network_policies(keys, !pod_changes.empty(), findings);
  check_selectors(keys, pod_changes, findings);
  if (keys == nullptr) check_cluster(findings);
}

void ObjectChecks::check_pods(Tables::Keys keys, FindingList& findings) {
  const ObjectSet& objects = tables_.objects();
  const auto look_at = [&](const Name& name, const Pod* pod) {
    Findings of_pod;
    if (pod != nullptr) check_marker(*pod, objects, of_pod);
    findings.put("marker " + name.text(), std::move(of_pod));
    const bool lost = pod != nullptr && !pod->node.empty() && objects.find<Node>({"", pod->node}) == nullptr;
    if (lost && !objects.all<Node>().empty()) {
      lost_pods_.insert_or_assign(name, pod->node);
    } else {
      lost_pods_.erase(name);
    }
  };
  if (keys == nullptr) {
    findings.remove_prefix("marker ");
    lost_pods_.clear();
    for (const auto& [name, pod] : objects.all<Pod>()) look_at(name, &pod);
  } else {
    bool any = false;
    for (const ObjectKey& key : *keys) {
      if (key.kind != Pod::kKind) continue;
      any = true;
      look_at(key.name, objects.find<Pod>(key.name));
    }
    if (!any) return;
  }
  Findings references;
  check_namespaces(objects, references);
  std::set<std::string> nodes;
  for (const auto& [name, node] : lost_pods_) {
    if (!nodes.insert(node).second) continue;
    references.push_back(finding_on(Severity::kWarning, *objects.find<Pod>(name), "spec.nodeName",
                                    fmt::format("there is no Node object {}", node)));
  }
  findings.put("references", std::move(references));
}

void ObjectChecks::check_network_policies(Tables::Keys keys, bool pods_changed, FindingList& findings) {
  const ObjectSet& objects = tables_.objects();
  bool any = keys == nullptr || (pods_changed && !objects.all<NetworkPolicy>().empty());
  if (keys != nullptr) any |= std::ranges::find(*keys, NetworkPolicy::kKind, &ObjectKey::kind) != keys->end();
  if (!any) return;
  Findings of_policies;
  control::check_network_policies(objects, tables_.pods(), of_policies);
  findings.put("network policies", std::move(of_policies));
}

void ObjectChecks::check_selectors(Tables::Keys keys, const std::vector<PodTable::Change>& pod_changes,
                                   FindingList& findings) {
  std::set<std::string> namespaces;
  for (const PodTable::Change& change : pod_changes)
    namespaces.insert((change.before ? change.before : change.after)->pod->meta.name.ns);
  if (keys == nullptr) {
    findings.remove_prefix("selectors ");
    for (const auto& [ns, some] : tables_.peers().with_selectors()) namespaces.insert(ns);
    for (const auto& [ns, some] : tables_.telemetry().with_selectors()) namespaces.insert(ns);
  }
  for (const std::string& ns : namespaces) {
    Findings of_namespace = tables_.peers().check(ns, tables_.pods());
    for (v1::Finding& finding : tables_.telemetry().check(ns, tables_.pods()))
      of_namespace.push_back(std::move(finding));
    findings.put("selectors " + ns, std::move(of_namespace));
  }
}

void ObjectChecks::check_cluster(FindingList& findings) {
  const ObjectSet& objects = tables_.objects();
  Findings of_cluster;
  for (const auto& [name, space] : objects.all<Namespace>()) check_marker(space, of_cluster);
  if (!node_.empty() && !objects.all<Node>().empty() && objects.find<Node>({"", node_}) == nullptr) {
    of_cluster.push_back(
        make_finding(Severity::kWarning, {}, describe(Node::kKind, {"", node_}), "",
                     "there is no Node object for the node that this agent runs on; its zone is not known"));
  }
  findings.put("cluster", std::move(of_cluster));
}

}  // namespace leat::control
