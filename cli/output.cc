#include "cli/output.h"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace leat::cli {
namespace {

// Names that a peer gave may be no UTF-8: shown with a replacement character rather than not at all.
std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string json_line(const Json& value) { return dump(value, -1) + "\n"; }

std::string render(const Output& output, const Table& table, const Json& list) {
  if (output.format == Format::kJson) return dump(list, 2) + "\n";
  if (output.format != Format::kJsonl) return table.render(output.coloured);
  std::string lines;
  for (const Json& item : list) lines += json_line(item);
  return lines;
}

void print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!written) std::exit(kOk);  // a closed pipe: `leat flows | head` is no failure
}

void complain(std::string_view sentence, std::string_view cure) {
  fmt::print(stderr, "leat: {}\n", sentence);
  if (!cure.empty()) fmt::print(stderr, "  cure: {}\n", cure);
}

}  // namespace leat::cli
