// Findings on objects that are made apart from the mesh: labels that say nothing, references to what is not there,
// policies that select nobody.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/finding_list.h"
#include "control/tables.h"

namespace leat::control {

class ObjectChecks {
 public:
  // `node`: whose view it is; empty: nobody's.
  ObjectChecks(const std::string& node, const Tables& tables) : node_(node), tables_(tables) {}

  void update(Tables::Keys keys, const std::vector<PodTable::Change>& pod_changes, FindingList& findings);

 private:
  void check_pods(Tables::Keys keys, FindingList& findings);
  void check_network_policies(Tables::Keys keys, bool pods_changed, FindingList& findings);
  void check_selectors(Tables::Keys keys, const std::vector<PodTable::Change>& pod_changes, FindingList& findings);
  void check_cluster(FindingList& findings);

  const std::string& node_;
  const Tables& tables_;
  std::map<Name, std::string> lost_pods_;  // whose node has no object, and that node
};

}  // namespace leat::control
