// --help that starts with an example: it is what people look for.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace leat::cli {

// Shows `example` above all else in the help of `command`.
void describe_by_example(CLI::App& command, const std::string& example);

}  // namespace leat::cli
