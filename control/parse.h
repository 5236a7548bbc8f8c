// Text of YAML (or JSON) files -> objects and findings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"

namespace leat::control {

struct Parsed {
  std::vector<Object> objects;  // in the order of the text; two of one kind and name are both there
  Findings findings;            // by line
  size_t documents = 0;         // objects seen, those that Leat does not read included
  bool whole = true;            // false: something was no YAML, or an object that can't be used, and was left out
};

// Each document of the text is read by itself: a broken one leaves the others as they are. `default_namespace` is for
// objects that name none; `file` only names them.
Parsed parse(std::string_view text, const std::string& file, const std::string& default_namespace);

}  // namespace leat::control
