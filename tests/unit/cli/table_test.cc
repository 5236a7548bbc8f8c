#include "cli/table.h"

#include <doctest/doctest.h>

#include "cli/output.h"

using namespace leat::cli;

TEST_CASE("columns are as wide as their widest cell, three spaces apart, with nothing at the end of a line") {
  Table table({"NAME", "TO", "STATE"});
  table.add({{"frontend", "backend → v1", "open"}, ""});
  table.add({{"x", "y", ""}, "cure: look"});
  CHECK(table.render(false) ==
        "NAME       TO             STATE\n"
        "frontend   backend → v1   open\n"
        "x          y\n"
        "   cure: look\n");
}

TEST_CASE("colours are there only where they are asked for, and change no column") {
  Table table({"A", "B"});
  table.add({{Cell("no", Colour::kRed), "x"}, ""});
  CHECK(table.render(false) == "A    B\nno   x\n");
  CHECK(table.render(true) == "A    B\n\x1b[31mno\x1b[0m   x\n");
}

TEST_CASE("what a peer put into a name can't steer the terminal") {
  Table table({"A"});
  table.add({{"a\x1b[2Jb\nc"}, "n\x1b"});
  CHECK(table.render(false) == "A\na?[2Jb?c\n   n?\n");
}

TEST_CASE("a table that goes on keeps its columns") {
  std::vector<size_t> widths;
  Table first({"NAME", "B"});
  CHECK(first.render_header(widths) == "NAME   B\n");
  first.add({{"long-name", "1"}, ""});
  CHECK(first.render_rows(false, widths) == "long-name   1\n");
  Table second({"NAME", "B"});
  second.add({{"x", "2"}, ""});
  CHECK(second.render_rows(false, widths) == "x           2\n");
}

TEST_CASE("json is a list, jsonl a line an item, and both survive text that is no UTF-8") {
  const Json list = Json::array({Json{{"b", 1}, {"a", "\xff"}}, Json{{"b", 2}}});
  CHECK(render({.format = Format::kJsonl}, Table({}), list) == "{\"b\":1,\"a\":\"\xef\xbf\xbd\"}\n{\"b\":2}\n");
  CHECK(render({.format = Format::kJson}, Table({}), Json::array()) == "[]\n");
}
