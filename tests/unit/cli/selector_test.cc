#include "cli/selector.h"

#include <doctest/doctest.h>

using namespace leat::cli;

TEST_CASE("a selector is a list of labels and their values") {
  CHECK(parse_selector("") == Selector{});
  CHECK(parse_selector("app=cart,version=v2") == Selector{{"app", "cart"}, {"version", "v2"}});
  CHECK(parse_selector("app==cart") == Selector{{"app", "cart"}});
  CHECK(parse_selector("app=") == Selector{{"app", ""}});
}

TEST_CASE("what is no list of KEY=VALUE is none, be it one that kubectl knows") {
  for (const char* text : {"app", "=cart", "app!=cart", "app=cart,version", "app in (a, b)"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_selector(text));
  }
}
