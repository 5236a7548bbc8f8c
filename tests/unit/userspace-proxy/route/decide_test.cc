#include "userspace-proxy/route/decide.h"

#include <doctest/doctest.h>

#include <google/protobuf/text_format.h>

#include <array>
#include <random>

namespace leat::proxy::route {
namespace {

// The tables of a Service in protobuf's text form.
std::vector<Table> tables(const std::string& text) {
  v1::Service service;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &service));
  for (v1::RouteTable& table : *service.mutable_route_tables()) {
    for (v1::HttpRoute& route : *table.mutable_routes()) {
      if (route.destinations().empty() && route.answer_case() == v1::HttpRoute::ANSWER_NOT_SET)
        route.add_destinations()->set_weight(1);
    }
  }
  std::vector<std::string> problems;
  std::vector<Table> compiled = compile_tables(service, &problems);
  CHECK(problems.empty());
  return compiled;
}

struct Sent {
  std::string_view method = "GET";
  std::string_view path = "/";
  std::string_view query;
  std::string_view authority = "backend:8080";
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  uint16_t port = 8080;
  std::string_view from = "shop";
  Labels labels;
};

// The name of the route that `sent` takes; "-" for none that matches, "own" where no table holds.
std::string route_of(const std::vector<Table>& tables, const Sent& sent) {
  const auto find = [&](std::string_view name, std::string& joined) -> std::optional<std::string_view> {
    std::optional<std::string_view> value;
    for (const auto& [key, text] : sent.headers) {
      if (key != name) continue;
      if (value) {
        joined = std::string(*value) + "," + std::string(text);
        value = joined;
      } else {
        value = text;
      }
    }
    return value;
  };
  const Request request{.method = sent.method,
                        .scheme = "http",
                        .authority = sent.authority,
                        .path = sent.path,
                        .query = sent.query,
                        .port = sent.port,
                        .headers = Headers(find)};
  const Decision decision = decide(tables, request, {sent.from, sent.labels});
  if (decision.kind == Decision::Kind::kUnrouted) return "own";
  return decision.kind == Decision::Kind::kNoMatch ? "-" : decision.route->name;
}

// Whether a route with this one match is taken.
bool matches(const std::string& match, const Sent& sent) {
  return route_of(tables("route_tables { routes { name: 'it' matches { " + match + " } } }"), sent) == "it";
}

}  // namespace

TEST_CASE("the first route that matches is taken, and a request that none matches has none") {
  const auto two = tables(R"(route_tables {
    routes { name: "a" matches { uri { prefix: "/a" } } matches { uri { exact: "/b" } } }
    routes { name: "rest" matches { uri { prefix: "/" } method { exact: "GET" } } }
  })");
  CHECK(route_of(two, {.path = "/a/1"}) == "a");
  CHECK(route_of(two, {.path = "/b"}) == "a");
  CHECK(route_of(two, {.path = "/b/1"}) == "rest");
  CHECK(route_of(two, {.method = "POST", .path = "/b/1"}) == "-");
  CHECK(route_of(tables("route_tables { routes { name: 'all' } }"), {}) == "all");
}

TEST_CASE("a prefix of whole segments ends at a slash or at the path's end") {
  constexpr const char* kMatch = "uri { prefix: '/a/b' whole_segments: true }";
  for (const char* path : {"/a/b", "/a/b/", "/a/b/c"}) CHECK(matches(kMatch, {.path = path}));
  for (const char* path : {"/a/bc", "/a", "/A/b"}) CHECK_FALSE(matches(kMatch, {.path = path}));
  CHECK(matches("uri { prefix: '/' whole_segments: true }", {.path = "/x"}));
}

TEST_CASE("a route may answer by itself instead of leading anywhere") {
  CHECK(route_of(tables("route_tables { routes { name: 'moved' redirect { path: '/x' } } }"), {}) == "moved");
  CHECK(route_of(tables("route_tables { routes { name: 'here' direct_response { status: 200 } } }"), {}) == "here");
}

TEST_CASE("a table without HTTP routes leaves requests to the Service's own endpoints") {
  CHECK(route_of(tables("route_tables { connection_routes { destinations { weight: 1 } } }"), {}) == "own");
}

TEST_CASE("a client uses the first table that its namespace sees, and no other") {
  const auto both = tables(R"(
    route_tables { visible_to: "shop" visible_to: "test" routes { name: "shop" matches { uri { exact: "/" } } } }
    route_tables { visible_to: "other" routes { name: "other" } })");
  CHECK(route_of(both, {.from = "shop"}) == "shop");
  CHECK(route_of(both, {.path = "/x", .from = "test"}) == "-");
  CHECK(route_of(both, {.from = "other"}) == "other");
  CHECK(route_of(both, {.from = "third"}) == "own");
  CHECK(route_of({}, {}) == "own");
}

TEST_CASE("a uri is matched exactly, by prefix or by an expression of the whole path") {
  CHECK(matches("uri { exact: '/a' }", {.path = "/a"}));
  CHECK_FALSE(matches("uri { exact: '/a' }", {.path = "/A"}));
  CHECK(matches("uri { exact: '/a' ignore_case: true }", {.path = "/A"}));
  CHECK(matches("uri { prefix: '/API/' ignore_case: true }", {.path = "/api/x"}));
  CHECK_FALSE(matches("uri { prefix: '/api/' }", {.path = "/api"}));
  CHECK(matches("uri { regex: '/v[0-9]+/.*' }", {.path = "/v12/x"}));
  CHECK_FALSE(matches("uri { regex: '/v[0-9]+' }", {.path = "/v12/x"}));
}

TEST_CASE("method, authority and port are matched as they were sent") {
  CHECK(matches("method { exact: 'PUT' } authority { prefix: 'backend' } scheme { exact: 'http' }", {.method = "PUT"}));
  CHECK_FALSE(matches("method { exact: 'put' }", {.method = "PUT"}));
  CHECK_FALSE(matches("authority { exact: 'backend' }", {}));
  CHECK_FALSE(matches("scheme { exact: 'https' }", {}));
  CHECK(matches("port: 8080", {}));
  CHECK_FALSE(matches("port: 80", {}));
}

TEST_CASE("headers must be there, or must not") {
  const Sent sent{.headers = {{"x-user", "ann"}, {"x-tag", "a"}, {"x-tag", "b"}, {"x-empty", ""}}};
  CHECK(matches("headers { name: 'x-user' value { exact: 'ann' } }", sent));
  CHECK_FALSE(matches("headers { name: 'x-user' value { exact: 'bob' } }", sent));
  CHECK(matches("headers { name: 'x-empty' }", sent));
  CHECK_FALSE(matches("headers { name: 'x-none' }", sent));
  CHECK(matches("headers { name: 'x-tag' value { exact: 'a,b' } }", sent));
  CHECK(matches("without_headers { name: 'x-none' }", sent));
  CHECK_FALSE(matches("without_headers { name: 'x-user' }", sent));
  CHECK(matches("without_headers { name: 'x-user' value { exact: 'bob' } }", sent));
  CHECK_FALSE(matches("headers { name: 'x-user' } headers { name: 'x-none' }", sent));
}

TEST_CASE("query parameters are matched undecoded, the first of a name") {
  const Sent sent{.query = "a=1&b=&c&a=2&d=x%20y"};
  CHECK(matches("query_params { name: 'a' value { exact: '1' } }", sent));
  CHECK_FALSE(matches("query_params { name: 'a' value { exact: '2' } }", sent));
  CHECK(matches("query_params { name: 'b' }", sent));
  CHECK(matches("query_params { name: 'c' value { exact: '' } }", sent));
  CHECK(matches("query_params { name: 'd' value { regex: 'x.*y' } }", sent));
  CHECK_FALSE(matches("query_params { name: '' value { exact: 'x' } }", sent));
  CHECK_FALSE(matches("query_params { name: 'a' }", {}));
}

TEST_CASE("a client is matched by its labels and namespace") {
  const Sent sent{.labels = {{"app", "frontend"}, {"version", "v1"}}};
  CHECK(matches("source_labels { key: 'app' value: 'frontend' } source_namespace: 'shop'", sent));
  CHECK_FALSE(matches("source_labels { key: 'app' value: 'other' }", sent));
  CHECK_FALSE(matches("source_labels { key: 'tier' value: 'x' }", sent));
  CHECK_FALSE(matches("source_namespace: 'other'", sent));
}

TEST_CASE("destinations are picked by weight, one of weight 0 never") {
  const auto split = tables(R"(route_tables { routes {
    destinations { subset: "none" weight: 0 } destinations { subset: "v1" weight: 90 }
    destinations { subset: "never" weight: 0 } destinations { subset: "v2" weight: 10 } } })");
  const Route& route = split[0].routes[0];
  CHECK(pick(route.destinations, 0).subset == "v1");
  CHECK(pick(route.destinations, 0xffffffff).subset == "v2");
  std::mt19937 random(7);
  std::map<std::string, int> picked;
  for (int i = 0; i < 20'000; ++i) ++picked[pick(route.destinations, static_cast<uint32_t>(random())).subset];
  CHECK(picked.size() == 2);
  CHECK(std::abs(picked["v1"] - 18'000) <= 200);
}

TEST_CASE("what can't be compiled is named, and matches nothing") {
  v1::Service service;
  service.set_name("backend");
  REQUIRE(google::protobuf::TextFormat::ParseFromString(R"(route_tables {
    routes { name: "bad" matches { uri { regex: "(" } } destinations { weight: 1 } }
    routes { name: "empty" }
    routes { name: "zero" destinations { weight: 0 } } })",
                                                        &service));
  std::vector<std::string> problems;
  const std::vector<Table> compiled = compile_tables(service, &problems);
  CHECK(problems.size() == 3);
  CHECK(route_of(compiled, {}) == "-");
}

}  // namespace leat::proxy::route
