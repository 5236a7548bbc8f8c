#include "agent/sources/kubernetes/api_json.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using leat::control::Value;
using leat::sources::read_event;
using leat::sources::read_failure;
using leat::sources::read_list;
using leat::sources::WatchEvent;

TEST_CASE("a page of a list is its items, its version and the token of the next page") {
  std::vector<Value> items;
  const auto page = read_list(
      R"({"kind":"PodList","metadata":{"resourceVersion":"12","continue":"abc"},"items":[{"metadata":{"name":"a"}},{}]})",
      [&](Value item) { items.push_back(std::move(item)); });
  REQUIRE(page);
  CHECK(page->resource_version == "12");
  CHECK(page->continue_token == "abc");
  REQUIRE(items.size() == 2);
  CHECK(items[0].find("metadata")->find("name")->text == "a");
}

TEST_CASE("an empty list may have null for its items, and anything else is no list") {
  const auto ignore = [](const Value&) {};
  CHECK(read_list(R"({"metadata":{"resourceVersion":"1"},"items":null})", ignore));
  for (const char* text : {"", "[]", "{}", R"({"metadata":{"resourceVersion":"1"}})", R"({"items":[]})",
                           R"({"metadata":{"resourceVersion":"1"},"items":[{})"}) {
    CAPTURE(text);
    CHECK_FALSE(read_list(text, ignore));
  }
}

TEST_CASE("values are the texts that YAML would have, and what is half of many an object is dropped") {
  const auto event = read_event(R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"3",
    "managedFields":[{"manager":"x"}],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","a":"b"}},
    "port":8080,"share":0.5,"big":18446744073709551615,"on":true,"none":null,"list":["x",1]}})");
  REQUIRE(event);
  CHECK(event->type == WatchEvent::Type::kPut);
  CHECK(event->resource_version == "3");
  const Value& object = event->object;
  CHECK(object.find("metadata")->find("managedFields") == nullptr);
  CHECK(object.find("metadata")->find("annotations")->entries.size() == 1);
  CHECK(object.find("port")->text == "8080");
  CHECK(object.find("share")->text == "0.5");
  CHECK(object.find("big")->text == "18446744073709551615");
  CHECK(object.find("on")->text == "true");
  CHECK(object.find("none")->kind == Value::Kind::kNull);
  CHECK(object.find("list")->items.at(1).text == "1");
}

TEST_CASE("a bookmark brings a version and no object") {
  const auto event = read_event(R"({"type":"BOOKMARK","object":{"kind":"Pod","metadata":{"resourceVersion":"77"}}})");
  REQUIRE(event);
  CHECK(event->type == WatchEvent::Type::kBookmark);
  CHECK(event->resource_version == "77");
}

TEST_CASE("an error in the stream is the failure that its Status says") {
  const auto event = read_event(
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}})");
  REQUIRE(event);
  CHECK(event->type == WatchEvent::Type::kError);
  CHECK(event->failure.status == 410);
  CHECK(event->failure.reason == "Expired");
}

TEST_CASE("a line that is no event is refused") {
  for (const char* line : {"", "x", "{}", R"({"type":"NEW","object":{}})", R"({"type":"ADDED"})", R"([1])"}) {
    CAPTURE(line);
    CHECK_FALSE(read_event(line));
  }
}

TEST_CASE("an answer's own status counts, its body says why where it can") {
  const auto status =
      read_failure(429, R"({"kind":"Status","code":500,"message":"slow down","details":{"retryAfterSeconds":9}})");
  CHECK(status.status == 429);
  CHECK(status.message == "slow down");
  CHECK(status.retry_after == 9s);
  const auto plain = read_failure(404, "404 page not found\n");
  CHECK(plain.status == 404);
  CHECK(plain.message == "404 page not found\n");
  CHECK(read_failure(502, std::string(10'000, 'x')).message.size() == 300);
}
