// One document of a kind that Leat reads -> the object. Findings go to the sink.
#pragma once

#include <optional>

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

// Nothing where the object can't be used; sink.usable is false then.
std::optional<Object> read_document(const Value& document, const Reader& reader, const std::string& default_namespace,
                                    FindingSink& sink);

// metadata, as all kinds have it.
Meta read_meta(const Field& root, const Reader& reader, const std::string& default_namespace);

}  // namespace leat::control
