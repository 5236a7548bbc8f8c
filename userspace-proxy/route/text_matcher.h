// One condition on a text: the same, begins with, or a regular expression of the whole.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/regex.h"
#include "leat.pb.h"

namespace leat::proxy::route {

class TextMatcher {
 public:
  // Without a kind: any text. An expression that does not compile matches nothing and is named in `problem`.
  TextMatcher(const v1::StringMatch& match, std::string* problem);

  [[nodiscard]] bool matches(std::string_view text) const;
  [[nodiscard]] std::optional<std::string_view> prefix() const;  // what the text must begin with, where that is asked
  [[nodiscard]] bool whole_segments() const { return whole_segments_; }

 private:
  v1::StringMatch::KindCase kind_;
  bool ignore_case_;
  bool whole_segments_;
  std::string wanted_;
  std::optional<Regex> expression_;
};

}  // namespace leat::proxy::route
