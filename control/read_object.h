// One YAML mapping of a kind that Leat reads -> the object. Findings go to the field's sink; sink.usable says whether
// the object counts.
#pragma once

#include "control/field.h"
#include "control/objects.h"

namespace leat::control {

struct Reader {
  std::string_view kind;
  std::string_view api_versions;  // separated by spaces
  bool cluster_scoped = false;
  Object (*read)(const Field& root, Meta meta);
};

// The reader of a kind, or null.
const Reader* find_reader(std::string_view kind);

// metadata, as all kinds have it.
Meta read_meta(const Field& root, const Reader& reader, const std::string& default_namespace);

}  // namespace leat::control
