#include "common/enrolled_namespaces.h"

#include <nlohmann/json.hpp>

namespace leat::cni {
namespace {

constexpr int kVersion = 1;

}  // namespace

std::string save(const EnrolledNamespaces& namespaces) {
  const nlohmann::json file{{"version", kVersion}, {"namespaces", namespaces}};
  return file.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::optional<EnrolledNamespaces> load_enrolled_namespaces(std::string_view text) {
  const auto file = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!file.is_object() || file.value("version", nlohmann::json()) != kVersion) return std::nullopt;
  const auto namespaces = file.find("namespaces");
  if (namespaces == file.end() || !namespaces->is_object()) return std::nullopt;
  EnrolledNamespaces out;
  for (const auto& [name, since] : namespaces->items()) {
    if (!since.is_string()) return std::nullopt;
    out.emplace(name, since);
  }
  return out;
}

}  // namespace leat::cni
