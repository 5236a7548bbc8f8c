// Loading, attaching, taking over and removing the kernel programs. Links and maps are pinned under Options::bpffs:
//   maps/NAME              shared by all programs and by every later agent
//   links/NAME             the cgroup hooks
//   links/lookup_INDEX     a pod's inbound program
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "agent/capture/bpf_map.h"
#include "agent/capture/capture.h"
#include "agent/capture/cgroup.h"
#include "bpf/types.h"

namespace leat::capture {

std::string maps_folder(const Options& options);
std::string links_folder(const Options& options);

class Programs {
 public:
  // Loads everything but the pods' inbound programs; nothing runs yet. Maps that are pinned already are used as they
  // are.
  static Result<Programs> load(const Options& options);
  Programs(Programs&&) noexcept;
  ~Programs();

  // Puts the programs to work: names before connects, each checked. A pinned link gets the new program in place, with
  // no gap.
  Result<void> attach();

  // Loads and attaches the inbound program of one pod, or replaces the one that is there.
  Result<void> attach_inbound(uint32_t pod_index, const leat_pod& row, int netns_fd);
  // Replaces the program of a pod's link that an earlier agent pinned. False: there is none, or its namespace is gone.
  Result<bool> take_over_inbound(uint32_t pod_index, const leat_pod& row);
  void detach_inbound(uint32_t pod_index);
  // Removes inbound links of pods that are not among these: an agent died while it captured one.
  void detach_inbound_of_others(const std::set<uint32_t>& pod_indexes);

  // Every cgroup hook, and whether it is attached now.
  [[nodiscard]] std::vector<Feature> hooks() const;
  [[nodiscard]] bool inbound_attached(uint32_t pod_index) const;

 private:
  struct Loaded;
  explicit Programs(std::unique_ptr<Loaded> loaded);
  std::unique_ptr<Loaded> loaded_;
};

// The cgroup hooks that carry a program with one of our names, for the proof that none is left.
std::vector<std::string> attached_program_names(const Options& options);

// Detaches and unpins all links, connects first, then the maps. Errors are collected, the rest goes on.
std::vector<Error> remove_all_pins(const Options& options);

}  // namespace leat::capture
