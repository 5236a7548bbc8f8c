// The findings of a compilation, by the part that made them, so that a part can say others.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "control/findings.h"

namespace leat::control {

class FindingList {
 public:
  // What the part says from now on.
  void put(std::string part, Findings findings);
  // The parts whose names begin so say nothing any more.
  void remove_prefix(std::string_view prefix);

  [[nodiscard]] const Findings& sorted() const;
  // Whether anything is said otherwise than at the last call.
  bool take_changed();

 private:
  std::map<std::string, Findings, std::less<>> by_part_;
  mutable Findings sorted_;
  mutable bool stale_ = false;
  bool changed_ = true;
};

}  // namespace leat::control
