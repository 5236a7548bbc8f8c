// A document as its text says it: scalars, lists and mappings, each with its line. YAML files and the API server's JSON
// are read into it, and field.h reads objects from it, so that both have the same readers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "common/result.h"

namespace leat::control {

struct Entry;

struct Value {
  enum class Kind : uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  int line = 0;      // in the document, from 1; 0: not known
  std::string text;  // of a scalar, as it stands: 8080, true, "5s" without its quotes
  std::vector<Value> items;
  std::vector<Entry> entries;  // in the order of the text; a key may be there twice

  // The first of this name, or null.
  [[nodiscard]] const Value* find(std::string_view name) const;
};

struct Entry {
  std::string key;
  int line = 0;  // the key's
  Value value;
};

inline const Value* Value::find(std::string_view name) const {
  for (const Entry& entry : entries) {
    if (entry.key == name) return &entry.value;
  }
  return nullptr;
}

// Fails where anchors and aliases make much of a little text, or a value that has itself in it. `text_bytes` is what
// the document was read from.
Result<Value> to_value(const YAML::Node& document, size_t text_bytes);

}  // namespace leat::control
