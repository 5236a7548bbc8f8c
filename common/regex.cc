#include "common/regex.h"

#include <array>

#include <re2/re2.h>

namespace leat {
namespace {

constexpr int64_t kMaxMemory = 1 << 20;

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

Result<std::unique_ptr<re2::RE2>> compile_re2(std::string_view expression, bool captures) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(!captures);
  options.set_max_mem(kMaxMemory);
  auto compiled = std::make_unique<re2::RE2>(piece(expression), options);
  if (!compiled->ok()) return fail(ErrorCode::kInvalid, "{}", compiled->error());
  return compiled;
}

}  // namespace

Regex::Regex(std::unique_ptr<re2::RE2> expression) : expression_(std::move(expression)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view expression) {
  Result<std::unique_ptr<re2::RE2>> compiled = compile_re2(expression, /*captures=*/false);
  if (!compiled) return std::unexpected(std::move(compiled.error()));
  return Regex(std::move(*compiled));
}

std::string Regex::quote(std::string_view text) { return re2::RE2::QuoteMeta(piece(text)); }

bool Regex::matches(std::string_view text) const { return re2::RE2::FullMatch(piece(text), *expression_); }

Substitution::Substitution(std::unique_ptr<re2::RE2> expression, std::string replacement)
    : expression_(std::move(expression)), replacement_(std::move(replacement)) {}
Substitution::Substitution(Substitution&&) noexcept = default;
Substitution& Substitution::operator=(Substitution&&) noexcept = default;
Substitution::~Substitution() = default;

Result<Substitution> Substitution::compile(std::string_view expression, std::string_view replacement) {
  Result<std::unique_ptr<re2::RE2>> compiled = compile_re2(expression, /*captures=*/true);
  if (!compiled) return std::unexpected(std::move(compiled.error()));
  std::string problem;
  if (!(*compiled)->CheckRewriteString(piece(replacement), &problem)) return fail(ErrorCode::kInvalid, "{}", problem);
  return Substitution(std::move(*compiled), std::string(replacement));
}

// RE2::GlobalReplace() has no limit: an expression that finds something everywhere would multiply its text.
std::optional<std::string> Substitution::apply(std::string_view text, size_t most_bytes) const {
  constexpr int kGroups = 10;
  std::array<re2::StringPiece, kGroups> groups;
  const int wanted = 1 + re2::RE2::MaxSubmatch(piece(replacement_));
  std::string out;
  size_t from = 0;
  size_t last_end = std::string::npos;
  while (from <= text.size() &&
         expression_->Match(piece(text), from, text.size(), re2::RE2::UNANCHORED, groups.data(), wanted)) {
    const size_t begin = static_cast<size_t>(groups[0].data() - text.data());
    out.append(text.substr(from, begin - from));
    from = begin;
    if (groups[0].empty() && begin == last_end) {  // nothing, right behind what was found
      if (from < text.size()) out.push_back(text[from]);
      ++from;
      continue;
    }
    expression_->Rewrite(&out, piece(replacement_), groups.data(), wanted);
    last_end = from = begin + groups[0].size();
    if (out.size() > most_bytes) return std::nullopt;
  }
  if (from < text.size()) out.append(text.substr(from));
  if (out.size() > most_bytes) return std::nullopt;
  return out;
}

}  // namespace leat
