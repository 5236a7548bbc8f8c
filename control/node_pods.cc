#include "control/node_pods.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "control/findings.h"

namespace leat::control {

void NodePods::assign_slots(bool everything, std::vector<PodTable::Change>& changes, DirtyParts& dirty,
                            FindingList& findings) {
  bool any = everything;
  for (const PodTable::Change& change : changes) {
    if (change.before && is_local(*change.before)) any |= live_.erase(*change.before) > 0;
    if (change.after && is_local(*change.after)) any |= live_.insert(*change.after).second;
  }
  if (!any) return;
  std::set<std::string> wanted;
  for (const LivePod& live : live_) {
    if (live.captured) wanted.insert(live.uid());
  }
  book_.keep_only(wanted);
  const auto before = std::exchange(slots_, {});
  Findings of_slots;
  for (const LivePod& live : live_) {
    const std::string uid = live.uid();
    if (!wanted.contains(uid)) continue;
    if (const auto slot = book_.hold(uid)) {
      slots_.emplace(uid, *slot);
    } else {
      of_slots.push_back(
          finding_on(Severity::kError, *live.pod, "",
                     fmt::format("not enrolled: a node holds at most {} enrolled pods", PodSlots::kSlots)));
    }
    const auto old = before.find(uid);
    const bool same =
        old == before.end() ? !slots_.contains(uid) : slots_.contains(uid) && slots_.at(uid) == old->second;
    const auto is_it = [&](const PodTable::Change& change) { return change.after && change.after->uid() == uid; };
    if (same || std::ranges::any_of(changes, is_it)) continue;
    changes.push_back({.before = live, .after = live});
    tables_.pods().add_readers_of(changes.back(), dirty);
  }
  findings.put("slots", std::move(of_slots));
}

uint32_t NodePods::slot_of(const LivePod& live) const {
  if (!is_local(live)) return PodSlots::kNone;
  const auto slot = slots_.find(live.uid());
  return slot == slots_.end() ? PodSlots::kNone : slot->second;
}

void NodePods::plan(const LivePod& live, const PodMtls& mtls, Findings& findings) {
  plan_changed_ = true;
  planned_.insert_or_assign(live.uid(), PlannedPod{
                                            .uid = live.uid(),
                                            .name = live.pod->meta.name,
                                            .index = slot_of(live),
                                            .addresses = live.addresses(),
                                            .netns_path = live.pod->netns_path,
                                            .mtls = mtls.mode,
                                            .port_mtls = mtls.ports,
                                            .exclusions = read_exclusions(*live.pod, findings),
                                            .probe_ports = live.pod->probe_ports,
                                        });
}

void NodePods::drop_plans() {
  planned_.clear();
  plan_changed_ = true;
}

bool NodePods::update_names(Tables::Keys keys, const std::vector<PodTable::Change>& changes) {
  const ObjectSet& objects = tables_.objects();
  if (keys == nullptr) {
    names_.clear();
    for (const auto& [name, pod] : objects.all<Pod>()) {
      if (pod.node == node_) names_.insert(name);
    }
    return true;
  }
  bool any = false;
  for (const ObjectKey& key : *keys) {
    if (key.kind != Pod::kKind) continue;
    const Pod* pod = objects.find<Pod>(key.name);
    const bool is_here = pod != nullptr && pod->node == node_;
    any |= is_here || names_.contains(key.name);
    if (is_here) names_.insert(key.name);
    if (!is_here) names_.erase(key.name);
  }
  // One that lost its address, or has it again.
  for (const PodTable::Change& change : changes)
    any |= (change.before && is_local(*change.before)) || (change.after && is_local(*change.after));
  return any;
}

void NodePods::list(Tables::Keys keys, const std::vector<PodTable::Change>& changes) {
  if (!update_names(keys, changes)) return;
  list_changed_ = true;
  listed_.clear();
  for (const Name& name : names_) {
    const auto pod = tables_.objects().share<Pod>(name);
    Enrolment enrolment = enrolment_of(*pod, tables_.objects());
    LocalPod local{.enrolled = enrolment.enrolled, .reason = std::move(enrolment.reason)};
    const LivePod* live = pod->addresses.empty() ? nullptr : tables_.pods().by_address(pod->addresses.front());
    if (local.enrolled && (live == nullptr || live->pod != pod || !is_captured(*live))) {
      local.enrolled = false;
      local.reason = "its address or its uid is another pod's, or the node is full: see the findings";
    }
    const LivePod listed{.pod = pod, .captured = local.enrolled};
    fill_workload(listed, {}, tables_.places().of_node(pod->node), standing_of(listed), local.workload);
    listed_.push_back(std::move(local));
  }
}

}  // namespace leat::control
