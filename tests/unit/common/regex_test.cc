#include "common/regex.h"

#include <doctest/doctest.h>

namespace leat {

TEST_CASE("an expression holds for the whole text or not at all") {
  const auto regex = Regex::compile("a+");
  REQUIRE(regex);
  CHECK(regex->matches("aaa"));
  CHECK_FALSE(regex->matches("aab"));
  CHECK_FALSE(Regex::compile("("));
}

TEST_CASE("a substitution replaces all that it finds, each once") {
  const auto replaced = [](std::string_view expression, std::string_view replacement, std::string_view text) {
    return Substitution::compile(expression, replacement)->apply(text, 100);
  };
  CHECK(replaced("b", "x", "abcb") == "axcx");
  CHECK(replaced("(a)(b)", "\\2\\1\\0", "ab.ab") == "baab.baab");
  CHECK(replaced("a*", "-", "baac") == "-b-c-");
  CHECK(replaced("", "-", "ab") == "-a-b-");
  CHECK(replaced("^/", "", "//") == "/");
  CHECK(replaced("x", "yy", std::string(51, 'x')) == std::nullopt);
  CHECK_FALSE(Substitution::compile("(a)", "\\2"));
}

}  // namespace leat
