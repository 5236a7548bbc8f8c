#include "userspace-proxy/route/text_matcher.h"

#include <algorithm>

#include <fmt/format.h>

namespace leat::proxy::route {
namespace {

char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

bool same(std::string_view left, std::string_view right, bool ignore_case) {
  if (!ignore_case) return left == right;
  return std::ranges::equal(left, right, {}, lower, lower);
}

}  // namespace

TextMatcher::TextMatcher(const v1::StringMatch& match, std::string* problem)
    : kind_(match.kind_case()), ignore_case_(match.ignore_case()), whole_segments_(match.whole_segments()) {
  if (kind_ == v1::StringMatch::kExact) wanted_ = match.exact();
  if (kind_ == v1::StringMatch::kPrefix) wanted_ = match.prefix();
  if (kind_ != v1::StringMatch::kRegex) return;
  Result<Regex> expression = Regex::compile(match.regex());
  if (expression) {
    expression_ = std::move(*expression);
  } else {
    *problem = fmt::format("'{}' is no regular expression: {}", match.regex(), expression.error().message);
  }
}

std::optional<std::string_view> TextMatcher::prefix() const {
  if (kind_ != v1::StringMatch::kPrefix) return std::nullopt;
  return wanted_;
}

bool TextMatcher::matches(std::string_view text) const {
  switch (kind_) {
    case v1::StringMatch::kExact:
      return same(text, wanted_, ignore_case_);
    case v1::StringMatch::kPrefix:
      return text.size() >= wanted_.size() && same(text.substr(0, wanted_.size()), wanted_, ignore_case_) &&
             (!whole_segments_ || text.size() == wanted_.size() || wanted_.ends_with('/') ||
              text[wanted_.size()] == '/');
    case v1::StringMatch::kRegex:
      return expression_ && expression_->matches(text);
    case v1::StringMatch::KIND_NOT_SET:
      return true;
  }
  return false;
}

}  // namespace leat::proxy::route
