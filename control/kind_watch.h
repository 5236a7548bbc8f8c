// Whether objects of one kind are others than when somebody last looked, so that what is made from all of them is made
// again only then.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "control/objects.h"

namespace leat::control {

class KindWatch {
 public:
  explicit KindWatch(std::string_view kind) : kind_(kind) {}

  // Since the last call, which was about the same set. True at the first one, and where more has changed than the set
  // remembers.
  bool changed(const ObjectSet& objects) {
    if (!std::exchange(looked_, true)) {
      seen_ = objects.version();
      return true;
    }
    const auto keys = objects.changed_since(std::exchange(seen_, objects.version()));
    return !keys || std::ranges::find(*keys, kind_, &ObjectKey::kind) != keys->end();
  }

 private:
  std::string_view kind_;
  uint64_t seen_ = 0;
  bool looked_ = false;
};

}  // namespace leat::control
