#include "agent/sources/kubernetes/leaving_pods.h"

#include "agent/sources/kubernetes/limits.h"
#include "control/enrolment.h"

namespace leat::sources {
namespace {

using control::Name;
using control::ObjectSet;
using control::Pod;

Pod with_leaving(Pod pod, bool leaving) {
  pod.leaving = leaving;
  return pod;
}

}  // namespace

bool LeavingPods::is_asked_out(const Pod& pod, const ObjectSet& objects) const {
  return control::is_running(pod) && !pod.meta.terminating && (all_ || !control::why_outside(pod, objects).empty());
}

bool LeavingPods::contains(const Pod& pod) const {
  const auto found = leaving_.find(pod.meta.name);
  return found != leaving_.end() && found->second.uid == pod.meta.uid;
}

std::vector<Pod> LeavingPods::look(const std::set<Name>& published, const ObjectSet& objects, Time now) {
  std::vector<Pod> changed;
  std::erase_if(leaving_, [&](const auto& one) {
    const Pod* pod = objects.find<Pod>(one.first);
    const bool there = pod != nullptr && pod->meta.uid == one.second.uid;
    if (there && is_asked_out(*pod, objects)) return false;
    if (there) changed.push_back(with_leaving(*pod, false));
    return true;
  });
  for (const Name& name : published) {
    const Pod* pod = objects.find<Pod>(name);
    if (pod == nullptr || !is_asked_out(*pod, objects)) continue;
    if (leaving_.emplace(name, Leaving{.uid = pod->meta.uid, .since = now, .told = {}}).second)
      changed.push_back(with_leaving(*pod, true));
  }
  return changed;
}

void LeavingPods::told(const std::set<Name>& published, Time now) {
  for (auto& [name, one] : leaving_) {
    if (!one.told && !published.contains(name)) one.told = now;
  }
}

std::vector<Pod> LeavingPods::let_go(const ObjectSet& objects, Time now) {
  std::vector<Pod> gone;
  std::erase_if(leaving_, [&](const auto& entry) {
    const Leaving& one = entry.second;
    if ((!one.told || now - *one.told < limits::kLeave) && now - one.since < limits::kLongestLeave) return false;
    const Pod* pod = objects.find<Pod>(entry.first);
    if (pod != nullptr && pod->leaving) gone.push_back(with_leaving(*pod, false));
    return true;
  });
  return gone;
}

}  // namespace leat::sources
