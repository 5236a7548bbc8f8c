// Pods of this node that are asked out of the mesh. Each is first taken from what the other nodes are told, and goes
// once they could hear of it: until then they dial tunnels to it.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/objects.h"

namespace leat::sources {

class LeavingPods {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Leat leaves the node: all are asked out from now on.
  void leave_all() { all_ = true; }
  // To put among the objects: those of `published` that are asked out now, and those that are asked for again.
  std::vector<control::Pod> look(const std::set<control::Name>& published, const control::ObjectSet& objects, Time now);
  // The server has it that these pods alone are here.
  void told(const std::set<control::Name>& published, Time now);
  // To put among the objects: those whose time is over.
  std::vector<control::Pod> let_go(const control::ObjectSet& objects, Time now);

  [[nodiscard]] bool contains(const control::Pod& pod) const;
  [[nodiscard]] bool empty() const { return leaving_.empty(); }

 private:
  // By a label, of the pod or of its namespace; one that ends goes by itself.
  [[nodiscard]] bool is_asked_out(const control::Pod& pod, const control::ObjectSet& objects) const;

  bool all_ = false;
  struct Leaving {
    std::string uid;
    Time since;
    std::optional<Time> told;  // the other nodes could hear of it from then on
  };
  std::map<control::Name, Leaving> leaving_;
};

}  // namespace leat::sources
