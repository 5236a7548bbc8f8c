#include "cli/help.h"

#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

namespace leat::cli {
namespace {

class ExampleFirst : public CLI::Formatter {
 public:
  explicit ExampleFirst(std::string example) : example_(std::move(example)) {}
  std::string make_description(const CLI::App* command) const override {
    return fmt::format("Example:\n  {}\n\n{}\n", example_, command->get_description());
  }

 private:
  std::string example_;
};

}  // namespace

void describe_by_example(CLI::App& command, const std::string& example) {
  command.formatter(std::make_shared<ExampleFirst>(example));
}

}  // namespace leat::cli
