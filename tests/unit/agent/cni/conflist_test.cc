#include "agent/cni/conflist.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

using namespace leat::agent;

namespace {

const PluginEntry kEntry{.state = "/var/lib/leat", .own_namespace = "leat-system", .wait_ms = 8000};
constexpr const char* kEntryText =
    R"({"type": "leat-cni", "state": "/var/lib/leat", "ownNamespace": "leat-system", "waitMs": 8000})";

// `@` stands for our entry.
std::string golden(std::string text) {
  const size_t at = text.find('@');
  if (at != std::string::npos) text.replace(at, 1, kEntryText);
  return text;
}

}  // namespace

TEST_CASE("the entry goes behind the last plugin, and no other byte changes") {
  struct Case {
    const char* before;
    const char* after;
  };
  for (const Case& each : {
           Case{"{\n  \"cniVersion\": \"0.3.1\",\n  \"name\": \"pods\",\n  \"plugins\": [\n    {\n      \"type\": "
                "\"bridge\"\n    },\n    "
                "{ \"type\": \"portmap\", \"capabilities\": {\"portMappings\": true} }\n  ],\n  \"x-vendor\": "
                "18446744073709551616\n}\n",
                "{\n  \"cniVersion\": \"0.3.1\",\n  \"name\": \"pods\",\n  \"plugins\": [\n    {\n      \"type\": "
                "\"bridge\"\n    },\n    "
                "{ \"type\": \"portmap\", \"capabilities\": {\"portMappings\": true} },\n    @\n  ],\n  \"x-vendor\": "
                "18446744073709551616\n}\n"},
           Case{"{\r\n\t\"name\": \"pods\",\r\n\t\"plugins\": [\r\n\t\t{\"type\": \"x\"}\r\n\t]\r\n}\r\n",
                "{\r\n\t\"name\": \"pods\",\r\n\t\"plugins\": [\r\n\t\t{\"type\": \"x\"},\r\n\t\t@\r\n\t]\r\n}\r\n"},
           Case{R"({"name":"pods","plugins":[{"type":"x","s":"]}\""}],"cniVersion":"1.1.0","disableCheck":true})",
                R"({"name":"pods","plugins":[{"type":"x","s":"]}\""}, @],"cniVersion":"1.1.0","disableCheck":true})"},
           Case{R"({"plugins":[ {"type":"x"} ],"name":"pods"})", R"({"plugins":[ {"type":"x"}, @ ],"name":"pods"})"},
       }) {
    CAPTURE(each.before);
    const auto with = with_entry(each.before, kEntry);
    REQUIRE(with);
    CHECK(*with == golden(each.after));
    CHECK(*with_entry(*with, kEntry) == *with);
    CHECK(*without_entry(*with) == each.before);
  }
}

TEST_CASE("an old entry, one that is not last, and one too many become one that is last") {
  for (const char* list : {R"({"name":"pods","plugins":[{"type":"leat-cni","state":"/old"},{"type":"x"}]})",
                           R"({"name":"pods","plugins":[{"type":"x"},{"type":"leat-cni"}]})",
                           R"({"name":"pods","plugins":[{"type":"leat-cni"}, {"type":"x"},{"type":"leat-cni"}]})"}) {
    CAPTURE(list);
    CHECK(*with_entry(list, kEntry) == golden(R"({"name":"pods","plugins":[{"type":"x"}, @]})"));
  }
}

TEST_CASE("a list without our entry is left as it is") {
  constexpr const char* kList = R"({"name":"pods", "plugins":[{"type":"x"}]})";
  CHECK(*without_entry(kList) == kList);
}

TEST_CASE("one plugin's configuration becomes a list of it and ours") {
  CHECK(*list_of("{\"cniVersion\":\"0.4.0\",\"name\":\"pods\",\"type\":\"bridge\",\"x\":1e3}\n", kEntry) ==
        golden("{\n  \"cniVersion\": \"0.4.0\",\n  \"name\": \"pods\",\n  \"plugins\": [\n    "
               "{\"cniVersion\":\"0.4.0\",\"name\":\"pods\",\"type\":\"bridge\",\"x\":1e3},\n    @\n  ]\n}\n"));
  CHECK(read_network_file(*list_of("{\"name\":\"pods\",\"type\":\"bridge\"}\r\n", kEntry))->is_list);
  CHECK(list_of("{\"name\":\"pods\",\"type\":\"bridge\"}\r\n", kEntry)->contains("\r\n"));
}

TEST_CASE("what no runtime could read is refused, with what is wrong") {
  for (const char* text : {"", "{", "[]", "{}", R"({"name":"a"})", R"({"name":"a","plugins":[]})",
                           R"({"name":"a","plugins":[{}]})", R"({"name":"a","plugins":{"type":"x"}})",
                           R"({"plugins":[{"type":"x"}]})", "{\"name\":\"a\",\"type\":\"x\"} // why"}) {
    CAPTURE(text);
    const auto read = read_network_file(text);
    CHECK_FALSE(read);
    CHECK_FALSE(with_entry(text, kEntry));
  }
  CHECK_FALSE(with_entry(R"({"name":"a","type":"x"})", kEntry));
  CHECK_FALSE(list_of(R"({"name":"a","plugins":[{"type":"x"}]})", kEntry));
}

TEST_CASE("a network that is nothing but ours is no network to chain to") {
  CHECK_FALSE(with_entry(R"({"name":"a","plugins":[{"type":"leat-cni"}]})", kEntry));
  CHECK_FALSE(list_of(R"({"name":"a","type":"leat-cni"})", kEntry));
}

TEST_CASE("a drop-in has the network's name and version") {
  const auto json = nlohmann::json::parse(drop_in({.name = "pods", .cni_version = "1.1.0", .is_list = true}, kEntry));
  CHECK(json["name"] == "pods");
  CHECK(json["cniVersion"] == "1.1.0");
  CHECK(json["type"] == "leat-cni");
}
