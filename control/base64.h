// Bytes in YAML and JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace leat::control {

// With or without padding; nothing where it is none.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace leat::control
