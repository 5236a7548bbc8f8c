#include "cli/routes_view.h"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include <google/protobuf/text_format.h>

using namespace leat;
using namespace leat::cli;

namespace {

v1::ApiReply split() {
  v1::ApiReply reply;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(R"(mesh { services {
    namespace: "shop" name: "backend" ports { port: 8080 }
    subsets { name: "v1" } subsets { name: "v2" }
    endpoints { ready: true subsets: 0 } endpoints { subsets: 1 }
    route_tables { visible_to: "shop" routes {
      name: "api"
      matches { uri { prefix: "/api/" ignore_case: true } method { exact: "GET" } headers { name: "x-user" } }
      matches { without_headers { name: "x-bot" value { regex: ".+" } } query_params { name: "q" value { exact: "1" } }
                port: 8080 source_labels { key: "app" value: "web" } source_namespace: "shop" }
      destinations { service: "shop/backend" subset: "v1" weight: 90 }
      destinations { service: "shop/backend" port: 8080 subset: "v2" weight: 10 }
      origin { kind: "VirtualService" namespace: "shop" name: "backend" file: "shop.yaml" line: 12 } } }
    route_tables { routes {
      destinations { service: "shop/backend" subset: "v3" weight: 1 }
      destinations { service: "shop/backend" port: 81 weight: 1 }
      destinations { host: "gone" weight: 1 }
      origin { kind: "VirtualService" namespace: "shop" name: "all" file: "shop.yaml" line: 30 } } }
  } })",
                                                        &reply));
  return reply;
}

}  // namespace

TEST_CASE("a route shows what it takes, where it leads by which share, and the line that it comes from") {
  const std::string table = routes_view(split(), false).table.render(false);
  CHECK(
      table.contains("uri=/api/* (any case), header x-user | no header x-bot~.+, query q=1, port=8080, client "
                     "app=web, client namespace=shop"));
  CHECK(table.contains("shop/backend v1 90%, shop/backend:8080 v2 10%"));
  CHECK(table.contains("VirtualService shop/backend shop.yaml:12"));
  CHECK(table.contains("shop        backend   shop"));
  CHECK(table.contains("shop        backend   all       any"));
  CHECK(table.contains("33.3%"));
  CHECK_FALSE(table.contains("ROUTE"));
  CHECK(routes_view(split(), true).table.render(false).contains("api"));
}

TEST_CASE("a route says which of its destinations can't answer, and why") {
  const std::string table = routes_view(split(), false).table.render(false);
  CHECK(table.contains("shop/backend:8080 v2: no ready endpoint, answered with 503"));
  CHECK(
      table.contains("shop/backend v3: no such subset, answered with 503; shop/backend:81: no such port, answered "
                     "with 503; gone: no such Service, answered with 503"));
}

TEST_CASE("a route says for which clients a destination can't answer, where a rule is for some alone") {
  const auto problem_of = [](const std::string& table, const std::string& subset) {
    v1::ApiReply reply;
    REQUIRE(google::protobuf::TextFormat::ParseFromString(fmt::format(R"(mesh {{ services {{
          namespace: "shop" name: "backend" subsets {{ name: "v1" }} endpoints {{ ready: true subsets: 0 }}
          client_rules {{ namespaces: "team" labels {{ key: "app" value: "web" }}
                         service {{ subsets {{ name: "v2" }} endpoints {{ ready: true subsets: 0 }} }} }}
          client_rules {{ namespaces: "team" service {{ endpoints {{ ready: true }} }} }}
          route_tables {{ {} routes {{ destinations {{ service: "shop/backend" subset: "{}" weight: 1 }} }} }} }} }})",
                                                                      table, subset),
                                                          &reply));
    return routes_view(reply, false).list[0]["destinations"][0]["problem"].get<std::string>();
  };
  CHECK(problem_of("", "v1") == "no such subset for clients in team with app=web, no such subset for clients in team");
  CHECK(problem_of("", "v2") == "no such subset for clients in team, no such subset for other clients");
  CHECK(problem_of(R"(visible_to: "team")", "v2") == "no such subset for clients in team");
  CHECK(problem_of(R"(visible_to: "shop")", "v1") == "");
  CHECK(problem_of(R"(visible_to: ["shop", "team"])", "") == "");
}

TEST_CASE("a route shows what it does besides sending requests on") {
  v1::ApiReply reply;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(
      R"(mesh { services { namespace: "shop" name: "backend" route_tables {
        routes { redirect { scheme: "https" authority: "b" path: "/new" code: 308 } }
        routes { direct_response { status: 418 } headers { response_set { name: "x-tea" } } }
        routes { rewrite { prefix: "/v2" } fault { delay_percent: 10 delay_ms: 500 abort_percent: 1 }
                 destinations { service: "shop/backend" weight: 1 headers { request_remove: "x-old" } } } } } })",
      &reply));
  const std::string table = routes_view(reply, false).table.render(false);
  CHECK(table.contains("redirect 308 to https://b/new"));
  CHECK(table.contains("answer 418, set response's x-tea"));
  CHECK(table.contains("rewrite to /v2, delay 10% by 500 ms, abort 1%, shop/backend: remove x-old"));
  CHECK(routes_view(reply, false).list[0]["actions"].size() == 1);
}

TEST_CASE("the status of a Gateway API route says what its parent made of it, and why") {
  v1::ApiReply reply;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(
      R"(route_statuses { route { kind: "HTTPRoute" namespace: "shop" name: "a" } parent: "Service shop/gone"
           conditions { type: "Accepted" reason: "NoMatchingParent" message: "there is no Service shop/gone" }
           conditions { type: "ResolvedRefs" holds: true reason: "ResolvedRefs" } })",
      &reply));
  const View view = route_statuses_view(reply, false);
  const std::string table = view.table.render(false);
  CHECK(table.contains("HTTPRoute a   Service shop/gone   no: NoMatchingParent   yes"));
  CHECK(table.contains("there is no Service shop/gone"));
  CHECK(view.list[0]["conditions"][0]["status"] == "False");
}

TEST_CASE("routes as JSON have the same facts") {
  const Json list = routes_view(split(), false).list;
  REQUIRE(list.size() == 2);
  CHECK(list[0]["clientNamespaces"].dump() == R"(["shop"])");
  CHECK(list[0]["matches"].size() == 2);
  CHECK(list[0]["destinations"][0]["percent"] == 90.0);
  CHECK(list[0]["destinations"][0]["problem"] == "");
  CHECK(list[1]["destinations"][2]["problem"] == "no such Service");
  CHECK(list[0]["from"].dump() ==
        R"({"kind":"VirtualService","namespace":"shop","name":"backend","file":"shop.yaml","line":12})");
}
