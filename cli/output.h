// The four forms that every answer has, and how errors are said.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "cli/table.h"

namespace leat::cli {

// Fields keep the order in which they are put in.
using Json = nlohmann::ordered_json;

enum class Format : uint8_t { kTable, kWide, kJson, kJsonl };

// What scripts may rely on.
enum ExitCode : int {
  kOk = 0,
  kAnswerIsNo = 1,  // check failed, lint found errors
  kWrongUsage = 2,
  kNoAgent = 3,  // can't be reached, or did not answer
};

struct Output {
  Format format = Format::kTable;
  bool coloured = false;
};

// `list` as JSON (an array), as JSON lines, or the table as text.
std::string render(const Output& output, const Table& table, const Json& list);
std::string json_line(const Json& value);

void print(std::string_view text);  // to stdout; ends the process quietly where nobody reads any more
// One sentence, then the cure, to stderr.
void complain(std::string_view sentence, std::string_view cure = "");

}  // namespace leat::cli
