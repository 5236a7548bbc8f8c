#include "cli/selector.h"

#include <algorithm>

namespace leat::cli {

std::optional<Selector> parse_selector(std::string_view text) {
  Selector wanted;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0 || part.find('!') != std::string_view::npos)
      return std::nullopt;
    const size_t value = part.find_first_not_of('=', equals);
    wanted.emplace_back(part.substr(0, equals), value == std::string_view::npos ? "" : part.substr(value));
  }
  return wanted;
}

}  // namespace leat::cli
