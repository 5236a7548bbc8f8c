// The pods of the node whose view it is: which of them are captured and have an index in the capture maps, what the
// kernel is told of them, and what is said of all of them to whoever asks.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/compile.h"
#include "control/finding_list.h"
#include "control/tables.h"
#include "control/workload_model.h"

namespace leat::control {

class NodePods {
 public:
  NodePods(const std::string& node, PodSlots& book, const Tables& tables) : node_(node), book_(book), tables_(tables) {}

  // Local captured pods get their index before anything refers to it. A pod that has another one than before, or none
  // any more, is added to `changes`.
  void assign_slots(bool everything, std::vector<PodTable::Change>& changes, DirtyParts& dirty, FindingList& findings);
  // What is said of them all, once all else is compiled.
  void list(Tables::Keys keys, const std::vector<PodTable::Change>& changes);

  [[nodiscard]] bool is_local(const LivePod& live) const { return live.pod->node == node_; }
  // Captured, and where that is this node's work, it has the room for it.
  [[nodiscard]] bool is_captured(const LivePod& live) const {
    return live.captured && (!is_local(live) || slots_.contains(live.uid()));
  }
  [[nodiscard]] uint32_t slot_of(const LivePod& live) const;
  [[nodiscard]] Standing standing_of(const LivePod& live) const {
    return {.local = is_local(live), .captured = is_captured(live), .slot = slot_of(live)};
  }

  // ---- what the kernel is told

  void plan(const LivePod& live, const PodMtls& mtls, Findings& findings);
  void drop_plan(const std::string& uid) { plan_changed_ |= planned_.erase(uid) > 0; }
  void drop_plans();
  [[nodiscard]] const std::map<std::string, PlannedPod>& planned() const { return planned_; }  // by uid
  // Whether the plan was touched since the last call.
  bool take_plan_changed() { return std::exchange(plan_changed_, false); }

  // ---- what is said

  [[nodiscard]] const std::vector<LocalPod>& listed() const { return listed_; }
  bool take_list_changed() { return std::exchange(list_changed_, false); }

 private:
  // Whether the pods that there are objects of may be listed otherwise now.
  bool update_names(Tables::Keys keys, const std::vector<PodTable::Change>& changes);

  const std::string& node_;
  PodSlots& book_;
  const Tables& tables_;

  PodTable::Pods live_;
  std::unordered_map<std::string, uint32_t> slots_;  // of captured ones, by uid
  std::map<std::string, PlannedPod> planned_;
  bool plan_changed_ = false;
  std::set<Name> names_;  // all that there is an object of
  std::vector<LocalPod> listed_;
  bool list_changed_ = false;
};

}  // namespace leat::control
