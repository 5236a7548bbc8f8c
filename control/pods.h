// The pods that have an address of their own, and whether each is enrolled.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control/compile.h"
#include "control/findings.h"
#include "control/objects.h"
#include "control/published_pods.h"
#include "control/reads.h"

namespace leat::control {

struct LivePod {
  std::shared_ptr<const Pod> pod;
  bool captured = false;
  uint32_t withheld = 0;  // a bit for each of the pod's addresses that is another pod's

  [[nodiscard]] std::string uid() const;                   // the object's, else namespace/name
  [[nodiscard]] std::vector<IpAddress> addresses() const;  // without those that another pod has; never empty
  [[nodiscard]] bool ready() const { return !pod->meta.terminating && pod->ready.value_or(true); }
};

struct Enrolment {
  bool enrolled = false;
  std::string reason;  // why, or why not
};

class PodTable {
 public:
  struct ByName {  // two of one name may live on two nodes for a moment
    using is_transparent = void;
    bool operator()(const LivePod& left, const LivePod& right) const;
    bool operator()(const LivePod& left, const Name& right) const { return left.pod->meta.name < right; }
    bool operator()(const Name& left, const LivePod& right) const { return left < right.pod->meta.name; }
  };
  using Pods = std::set<LivePod, ByName>;
  // A pod as it was and as it is; null: not there.
  struct Change {
    std::optional<LivePod> before;
    std::optional<LivePod> after;
  };

  // `own_node`: whose view it is; what that node itself has published does not count. Empty until update().
  PodTable(const View& objects, const std::string& own_node) : objects_(objects), own_node_(own_node) {}

  // Takes in what changed: `keys`, of pods, NodeWorkloads, Services and EndpointSlices, or everything. Returns the pods
  // that are others than before.
  std::vector<Change> update(const std::vector<ObjectKey>* keys);

  [[nodiscard]] const Pods& all() const { return pods_; }  // by namespace and name
  template <typename Each>
  void each_of(const std::string& ns, Each each) const {
    for (auto live = pods_.lower_bound(Name{ns, ""}); live != pods_.end() && live->pod->meta.name.ns == ns; ++live)
      each(*live);
  }
  // The pods of `ns` that the labels select. Who asks is a reader of whatever changes in that.
  template <typename Each>
  void each_selected(const std::string& ns, const Labels& labels, Each each) const {
    if (objects_.reader() != Reads::kNobody) selections_[ns][objects_.reader()] = labels;
    each_of(ns, [&](const LivePod& live) {
      if (selects(labels, live.pod->meta.labels)) each(live);
    });
  }
  void forget_selection(const std::string& ns, Reads::Part reader) const;
  // Who reads the pod's addresses, or has a selection that the change is in, has to be made anew.
  void add_readers_of(const Change& change, DirtyParts& dirty) const;
  [[nodiscard]] const LivePod* by_address(const IpAddress& address) const;
  [[nodiscard]] const LivePod* by_uid(const std::string& uid) const;
  static Fact fact_at(const IpAddress& address) { return fact("pod at", address); }

  [[nodiscard]] Findings findings() const;  // pods that lost a uid or an address, and what other nodes are not believed

 private:
  // Those that are decided upon in one update(), and what was there of them.
  struct Contest {
    std::set<PodPtr> pods;
    std::vector<LivePod> before;
  };
  void enter_all(Contest& contest);
  void enter_changed(const std::vector<ObjectKey>& keys, Contest& contest);
  void enter_rivals(Contest& contest);
  void enter(PodPtr pod, Contest& contest);
  void leave(const PodPtr& pod, Contest& contest);
  const LivePod* claim(const PodPtr& pod);
  static std::vector<Change> differences(std::vector<LivePod> before, std::vector<LivePod> after);
  [[nodiscard]] std::vector<PodPtr> named(const Name& name) const;

  const View& objects_;
  const std::string& own_node_;
  Pods pods_;
  std::unordered_map<IpAddress, const LivePod*> by_address_;
  struct ByUid {
    using is_transparent = void;
    size_t operator()(const LivePod* live) const { return (*this)(live->uid()); }
    size_t operator()(const std::string& uid) const { return std::hash<std::string>()(uid); }
    bool operator()(const LivePod* left, const LivePod* right) const { return left->uid() == right->uid(); }
    bool operator()(const LivePod* left, const std::string& right) const { return left->uid() == right; }
    bool operator()(const std::string& left, const LivePod* right) const { return left == right->uid(); }
  };
  std::unordered_set<const LivePod*, ByUid, ByUid> by_uid_;
  std::map<PodPtr, Findings> losers_;  // that lost a uid or an address to another one
  PublishedPods published_;
  mutable std::map<std::string, std::map<Reads::Part, Labels>> selections_;  // by namespace
};

// Whether a pod belongs into the mesh, from its own fields and its namespace's label.
Enrolment enrolment_of(const Pod& pod, const ObjectSet& objects);

std::string uid_of(const Pod& pod);

// The exclusions in the pod's annotations; what can't be read is a finding, and excludes nothing.
Exclusions read_exclusions(const Pod& pod, Findings& findings);
// Labels and annotations of Leat that say nothing to it.
void check_marker(const Namespace& space, Findings& findings);
void check_marker(const Pod& pod, const ObjectSet& objects, Findings& findings);
// Namespaces that have pods and no object.
void check_namespaces(const ObjectSet& objects, Findings& findings);

}  // namespace leat::control
