// Labels that pods are chosen by on the command line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leat::cli {

using Selector = std::vector<std::pair<std::string, std::string>>;

// k=v,k2=v2 as kubectl's -l has it; only equality. Empty: it is none.
std::optional<Selector> parse_selector(std::string_view text);

}  // namespace leat::cli
