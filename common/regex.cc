#include "common/regex.h"

#include <re2/re2.h>

namespace leat {
namespace {

constexpr int64_t kMaxMemory = 1 << 20;

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

Regex::Regex(std::unique_ptr<re2::RE2> expression) : expression_(std::move(expression)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view expression) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(kMaxMemory);
  auto compiled = std::make_unique<re2::RE2>(piece(expression), options);
  if (!compiled->ok()) return fail(ErrorCode::kInvalid, "{}", compiled->error());
  return Regex(std::move(compiled));
}

bool Regex::matches(std::string_view text) const { return re2::RE2::FullMatch(piece(text), *expression_); }

}  // namespace leat
