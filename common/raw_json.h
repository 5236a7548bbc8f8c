// A part of a JSON text, byte for byte as it stands there. A chained plugin must hand on what it was given: numbers
// beyond 64 bits, the order of keys and keys that nobody here knows would not survive being read and written again.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace leat::cni {

// The value of `key` in `object`, a valid JSON text whose root is an object. Of a repeated key the last, as readers of
// JSON take it. Nothing: there is no such key.
std::optional<std::string_view> raw_member(std::string_view object, std::string_view key);

// The elements of `array`, a valid JSON text whose root is an array.
std::vector<std::string_view> raw_elements(std::string_view array);

}  // namespace leat::cni
