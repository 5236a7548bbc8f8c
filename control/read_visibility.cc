#include "control/read_visibility.h"

#include <algorithm>

namespace leat::control {

std::optional<std::vector<std::string>> read_visibility(const Field& export_to, const std::string& own) {
  const auto items = export_to.items();
  if (items.empty()) return std::nullopt;
  std::vector<std::string> namespaces;
  for (const Field& item : items) {
    const std::string text = item.text_or();
    if (text == "*") return std::nullopt;
    if (text == ".") {
      namespaces.push_back(own);
    } else if (auto name = item.name()) {
      namespaces.push_back(std::move(*name));
    }
  }
  std::ranges::sort(namespaces);
  const auto repeated = std::ranges::unique(namespaces);
  namespaces.erase(repeated.begin(), repeated.end());
  return namespaces;
}

}  // namespace leat::control
