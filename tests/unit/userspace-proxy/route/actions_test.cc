#include "userspace-proxy/route/actions.h"

#include <doctest/doctest.h>

#include <fmt/format.h>
#include <google/protobuf/text_format.h>

#include <random>

namespace leat::proxy::route {
namespace {

template <typename Message>
Message read(const std::string& text) {
  Message message;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

std::unique_ptr<const Actions> actions(const std::string& route) {
  std::vector<std::string> problems;
  auto compiled = compile_actions(read<v1::HttpRoute>(route), &problems);
  CHECK(problems.empty());
  return compiled;
}

// "-a =b:1 +c:2": removed, set, added.
std::string text_of(const FieldEdits& edits) {
  std::string text;
  for (const std::string& name : edits.remove) text += fmt::format("-{} ", name);
  for (const auto& line : edits.set) text += fmt::format("={}:{} ", line.name, line.value);
  for (const auto& line : edits.add) text += fmt::format("+{}:{} ", line.name, line.value);
  return text;
}

std::string request_edits(const std::string& destination, const std::string& route, const std::string& authority = "") {
  const auto edits = compile_edits(read<v1::HeaderEdits>(destination), read<v1::HeaderEdits>(route), authority);
  return edits ? text_of(edits->request) : "none";
}

}  // namespace

TEST_CASE("a route that only sends requests on has no actions and no edits") {
  CHECK(actions("name: 'plain' destinations { weight: 1 }") == nullptr);
  CHECK(request_edits("", "") == "none");
}

TEST_CASE("the route's header edits come after the destination's") {
  CHECK(request_edits("request_set { name: 'a' value: '1' }", "request_add { name: 'b' value: '2' }") == "=a:1 +b:2 ");
  CHECK(request_edits("request_set { name: 'a' value: '1' }", "request_set { name: 'A' value: '2' }") == "=A:2 ");
  CHECK(request_edits("request_add { name: 'a' value: '1' }", "request_remove: 'a'") == "-a ");
  CHECK(request_edits("request_remove: 'a'", "request_add { name: 'a' value: '2' }") == "-a +a:2 ");
  const auto edits = compile_edits({}, read<v1::HeaderEdits>("response_set { name: 'x' value: 'y' }"), "");
  CHECK(text_of(edits->response) == "=x:y ");
}

TEST_CASE("another authority is a Host, unless the edits set one") {
  CHECK(request_edits("", "", "other:80") == "=host:other:80 ");
  CHECK(request_edits("request_set { name: 'host' value: 'mine' }", "", "other") == "=host:mine ");
}

TEST_CASE("a percentage takes its share of all draws, none of 0 and all of 100") {
  CHECK(Percentage(0).never());
  CHECK_FALSE(Percentage(0).takes(0));
  CHECK(Percentage(100).takes(0xffffffff));
  std::mt19937 random(7);
  int taken = 0;
  const Percentage some(0.5);
  for (int i = 0; i < 100'000; ++i) taken += some.takes(random());
  CHECK(taken > 400);
  CHECK(taken < 600);
}

TEST_CASE("a fault, a redirect and a direct response are compiled as they stand") {
  const auto fault = actions("fault { delay_percent: 50 delay_ms: 5000 abort_percent: 100 abort_status: 418 }");
  REQUIRE(fault->fault);
  CHECK(fault->fault->delay_ms == 5000);
  CHECK(fault->fault->abort_status == 418);
  CHECK(fault->fault->abort.takes(0xffffffff));
  const auto direct = actions("direct_response { status: 200 body: 'hello' } headers { response_set { name: 'x' } }");
  CHECK(direct->direct_response->body == "hello");
  CHECK(text_of(direct->edits->response) == "=x: ");
  CHECK(actions("redirect { code: 302 }")->redirect->code() == 302);
}

}  // namespace leat::proxy::route
