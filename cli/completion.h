// Shell completion, made from the command line's own description, so that it can't differ from it.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace leat::cli {

enum class Shell : uint8_t { kBash, kZsh, kFish };

std::string completion_script(const CLI::App& app, Shell shell);

}  // namespace leat::cli
