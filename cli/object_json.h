// Reading what kubectl prints of objects.
#pragma once

#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

namespace leat::cli {

// The text at a JSON pointer; empty: there is none.
inline std::string text_at(const nlohmann::json& value, const char* pointer) {
  if (!value.is_object()) return "";
  const auto found = value.value(nlohmann::json::json_pointer(pointer), nlohmann::json());
  return found.is_string() ? found.get<std::string>() : "";
}

// Whether an object (a pod, a node) says of itself that it is ready.
inline bool is_ready(const nlohmann::json& object) {
  const auto conditions = object.value(nlohmann::json::json_pointer("/status/conditions"), nlohmann::json::array());
  return std::ranges::any_of(conditions, [](const auto& one) {
    return text_at(one, "/type") == "Ready" && text_at(one, "/status") == "True";
  });
}

}  // namespace leat::cli
