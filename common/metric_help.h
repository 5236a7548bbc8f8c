// A sentence for each metric, as `# HELP` lines show it.
#pragma once

#include <string_view>

namespace leat {

// `family` as it is counted, with its "_total". Empty: nobody knows it here.
std::string_view metric_help(std::string_view family);

}  // namespace leat
