// The pods that have an address of their own, and whether each is enrolled.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/compile.h"
#include "control/findings.h"
#include "control/objects.h"

namespace leat::control {

struct LivePod {
  const Pod* pod = nullptr;
  std::string uid;                   // the object's, else namespace/name
  std::vector<IpAddress> addresses;  // without those that another pod has; never empty
  bool captured = false;
  [[nodiscard]] bool ready() const { return !pod->meta.terminating && pod->ready.value_or(true); }
};

struct Enrolment {
  bool enrolled = false;
  std::string reason;  // why, or why not
};

class PodTable {
 public:
  // `own_node`: whose view it is; what that node itself has published does not count.
  PodTable(const ObjectSet& objects, const std::string& own_node, Findings& findings);

  [[nodiscard]] const std::vector<LivePod>& all() const { return pods_; }  // by namespace and name
  [[nodiscard]] std::span<const LivePod> of_namespace(const std::string& ns) const;
  [[nodiscard]] const LivePod* by_address(const IpAddress& address) const;

 private:
  std::vector<LivePod> pods_;
  std::unordered_map<IpAddress, size_t> by_address_;
};

// Whether a pod belongs into the mesh, from its own fields and its namespace's label.
Enrolment enrolment_of(const Pod& pod, const ObjectSet& objects);

std::string uid_of(const Pod& pod);

// The exclusions in the pod's annotations; what can't be read is a finding, and excludes nothing.
Exclusions read_exclusions(const Pod& pod, Findings& findings);
// Labels and annotations of Leat that say nothing to it.
void check_markers(const ObjectSet& objects, Findings& findings);

}  // namespace leat::control
