#include "agent/cni/late_pods.h"

#include <algorithm>

#include "common/log.h"

namespace leat::agent {

LatePods::Found LatePods::look(const std::vector<Captured>& captured, const cni::EnrolledNamespaces& enrolled) {
  std::set<std::string> still;
  Found found;
  for (const Captured& each : captured) {
    if (told_.contains(each.uid)) {
      still.insert(each.uid);
      continue;
    }
    const control::Meta& meta = each.pod->meta;
    const auto since = enrolled.find(meta.name.ns);
    // Older than the label: it was enrolled while it ran, as was asked for.
    if (each.attached || since == enrolled.end() || meta.created.empty() || meta.created <= since->second) continue;
    still.insert(each.uid);
    found.changed = true;
    ++count_;
    found.events.push_back({.pod = meta.name,
                            .uid = each.uid,
                            .warning = true,
                            .reason = kReason,
                            .note = "leat: the pod started before it could be captured; its connections until now were "
                                    "outside the mesh, new ones are inside"});
    log::warn(
        "pod {} started before it could be captured; it is captured now, connections that it has stay as they are",
        meta.name.text());
  }
  found.changed |= still.size() != told_.size();
  told_ = std::move(still);
  return found;
}

std::string LatePods::save() const {
  std::string text;
  for (const std::string& uid : told_) text += uid + "\n";
  return text;
}

void LatePods::load(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) told_.emplace(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace leat::agent
