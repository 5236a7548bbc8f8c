// Regular expressions that users write: RE2's, which take time linear in the text. Checked by the agent and run by the
// proxy under the same limits, so that what one accepts the other does.
#pragma once

#include <memory>
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
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  // Of the whole text. Any thread.
  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  explicit Regex(std::unique_ptr<re2::RE2> expression);
  std::unique_ptr<re2::RE2> expression_;
};

}  // namespace leat
