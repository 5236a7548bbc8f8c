// Regular expressions that users write: RE2's, which take time linear in the text. Checked by the agent and run by the
// proxy under the same limits, so that what one accepts the other does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"

namespace re2 {
class RE2;
}

namespace leat {

class Regex {
 public:
  // kInvalid with RE2's reason; an expression that would take more than 1 MiB is too large.
  static Result<Regex> compile(std::string_view expression);
  // An expression for this text and no other.
  static std::string quote(std::string_view text);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // Of the whole text. Any thread.
  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  explicit Regex(std::unique_ptr<re2::RE2> expression);
  std::unique_ptr<re2::RE2> expression_;
};

// What an expression finds in a text, and what stands there instead.
class Substitution {
 public:
  // \1 … \9 of `replacement` stand for the expression's groups, \0 for all that was found. kInvalid where it names a
  // group that there is none of.
  static Result<Substitution> compile(std::string_view expression, std::string_view replacement);
  Substitution(Substitution&&) noexcept;
  Substitution& operator=(Substitution&&) noexcept;
  ~Substitution();

  // `text` with everything that was found replaced; nothing if that were longer than `most_bytes`. Any thread.
  [[nodiscard]] std::optional<std::string> apply(std::string_view text, size_t most_bytes) const;

 private:
  Substitution(std::unique_ptr<re2::RE2> expression, std::string replacement);
  std::unique_ptr<re2::RE2> expression_;
  std::string replacement_;
};

}  // namespace leat
