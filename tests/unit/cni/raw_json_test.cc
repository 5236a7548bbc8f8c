#include "common/raw_json.h"

#include <doctest/doctest.h>

using leat::cni::raw_member;

TEST_CASE("a member comes out byte for byte, whatever it holds") {
  constexpr const char* kText =
      R"( {"a": {"x":[1, 2.50,{"y":"}\"]"}]} , "b" :18446744073709551616,"c":"\u00e9\\", "d":null})";
  CHECK(raw_member(kText, "a") == R"({"x":[1, 2.50,{"y":"}\"]"}]})");
  CHECK(raw_member(kText, "b") == "18446744073709551616");
  CHECK(raw_member(kText, "c") == R"("\u00e9\\")");
  CHECK(raw_member(kText, "d") == "null");
  CHECK_FALSE(raw_member(kText, "x"));
}

TEST_CASE("a key is what it means, not how it is written; of two the last counts") {
  CHECK(raw_member(R"({"\u0061":1})", "a") == "1");
  CHECK(raw_member(R"({"a":1,"a":[2]})", "a") == "[2]");
}

TEST_CASE("an empty object has no members") {
  CHECK_FALSE(raw_member("{}", "a"));
  CHECK_FALSE(raw_member(" { } ", "a"));
}

TEST_CASE("the elements of a list come out byte for byte") {
  using leat::cni::raw_elements;
  const auto elements = raw_elements(" [ {\"a\": [1,2]} ,\r\n \"x,]\", 1.50 ,[],null ] ");
  REQUIRE(elements.size() == 5);
  CHECK(elements[0] == "{\"a\": [1,2]}");
  CHECK(elements[1] == "\"x,]\"");
  CHECK(elements[2] == "1.50");
  CHECK(elements[3] == "[]");
  CHECK(elements[4] == "null");
  CHECK(raw_elements("[]").empty());
  CHECK(raw_elements(" [ ] ").empty());
}
