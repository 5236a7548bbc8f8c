// What a route does to the fields of a request on its way there, and to those of its response.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "leat.pb.h"

namespace leat::proxy::route {

struct FieldEdits {
  struct Line {
    std::string name;
    std::string value;
  };
  std::vector<std::string> remove;  // every field of these names
  std::vector<Line> set;            // in place of every field of the name
  std::vector<Line> add;            // beside others of the name

  [[nodiscard]] bool empty() const { return remove.empty() && set.empty() && add.empty(); }
};

struct HeaderEdits {
  FieldEdits request;
  FieldEdits response;
};

// Of a destination first, then of its route, which has the last word, as in Envoy. `authority` is that of a rewrite,
// empty for none: the Host of the request, where the edits set none. Null: nothing is edited.
std::unique_ptr<const HeaderEdits> compile_edits(const v1::HeaderEdits& destination, const v1::HeaderEdits& route,
                                                 const std::string& authority);

}  // namespace leat::proxy::route
