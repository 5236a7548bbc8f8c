#include <map>
#include <string>

#include <doctest/doctest.h>

#include "common/access_filter.h"
#include "common/access_log_format.h"

namespace leat {
namespace {

using Headers = std::map<std::string, std::string, std::less<>>;

std::optional<std::string_view> find_header(const void* headers, std::string_view name) {
  const auto& all = *static_cast<const Headers*>(headers);
  const auto found = all.find(name);
  return found == all.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

bool admits(std::string_view expression, const AccessFacts& facts) {
  const auto filter = AccessFilter::compile(expression);
  REQUIRE_MESSAGE(filter.has_value(), expression << ": " << filter.error().message);
  return filter->admits(facts);
}

TEST_CASE("a filter compares what is known of a request") {
  const Headers headers{{"x-tenant", "acme"}, {"user-agent", "curl/8"}};
  const AccessFacts facts{.response_code = 503,
                          .response_size = 10,
                          .duration_ms = 250,
                          .mtls = true,
                          .http = true,
                          .method = "GET",
                          .path = "/orders/7?full=yes",
                          .host = "shop",
                          .protocol = "HTTP/1.1",
                          .header = find_header,
                          .request = &headers};
  for (const char* holds : {
           "response.code >= 500",
           "response.code == 503 && request.method == 'GET'",
           "!(response.code < 500)",
           "response.code == 200 || connection.mtls",
           "connection.mtls == true && connection.mtls != false",
           "request.url_path == \"/orders/7\"",
           "request.path.endsWith('full=yes')",
           "request.path.contains('7?')",
           "request.url_path.matches('^/orders/[0-9]+$')",
           "request.headers['X-Tenant'] == 'acme'",
           "'x-tenant' in request.headers && !('x-other' in request.headers)",
           "request.useragent.startsWith('curl')",
           "request.headers['x-other'] == 'a' || response.code == 503",
           "request.duration_ms > 200",
           "response.code in [500, 503]",
           "request.method in ['GET', 'HEAD'] && !(response.code in [200])",
           "request.headers['x-tenant'] in [\"acme\"]",
           "has(request.useragent) && has(response.code) && has(request.headers['x-tenant'])",
           "!has(request.headers['x-other'])",
           // As Istio's reference has it.
           "!has(request.useragent) || !(request.useragent.startsWith(\"Amazon-Route53-Health-Check-Service\"))",
           "connection.mtls && request.url_path.contains('orders')",
       }) {
    CHECK_MESSAGE(admits(holds, facts), holds);
  }
  for (const char* fails : {"response.code == 200", "request.method != 'GET'", "!connection.mtls",
                            "request.headers['x-other'] == 'a'", "request.headers['x-other'] != 'a'"}) {
    CHECK_MESSAGE(!admits(fails, facts), fails);
  }
}

TEST_CASE("a connection has no response code, and a filter that asks for it logs none") {
  const AccessFacts facts{.request_size = 7, .mtls = true};
  CHECK_FALSE(admits("response.code >= 0", facts));
  CHECK_FALSE(admits("response.code < 0", facts));
  CHECK_FALSE(admits("!(request.method == 'GET')", facts));
  CHECK(admits("response.code >= 500 || connection.mtls", facts));
  CHECK(admits("request.size == 7", facts));
  CHECK(admits("!has(response.code)", facts));
}

TEST_CASE("a filter that Leat can't honour is refused") {
  for (const char* wrong :
       {"", "response.code", "response.code >=", "response.code >= 'a'", "source.ip == '1'", "(true",
        "response.code > 1 && ", "request.method.size() > 1", "request.headers == 'a'", "response.code == 1)",
        "request.path.matches('(')", "request.path == 'a", "xds.cluster_name == 'a'", "has(request)", "has(",
        "response.code in []", "response.code in [1, 'a']", "request.method in 'GET'"}) {
    CHECK_MESSAGE(!AccessFilter::compile(wrong).has_value(), wrong);
  }
  CHECK_FALSE(AccessFilter::compile(std::string(200, '(')).has_value());
  CHECK_FALSE(AccessFilter::compile(std::string(10'000, ' ')).has_value());
}

TEST_CASE("Istio's own formats are understood") {
  CHECK(LogFormat::line(kIstioLogLine).has_value());
  CHECK(LogFormat::json(kIstioLogJson)->entries().size() == 24);
}

TEST_CASE("a format is literals and operators, with their arguments") {
  const auto format = LogFormat::line("%% %REQ(X-A?:AUTHORITY):12% %START_TIME(%s)%");
  REQUIRE(format.has_value());
  const auto& pieces = format->entries().front().pieces;
  REQUIRE(pieces.size() == 5);
  CHECK(pieces[0].text == "% ");
  CHECK(pieces[1].text == "x-a");
  CHECK(pieces[1].fallback == ":authority");
  CHECK(pieces[1].longest == 12);
  CHECK(pieces[3].text == "%s");
  CHECK(pieces[4].text == "\n");
}

TEST_CASE("a format that Leat can't fill in is refused") {
  for (const char* wrong : {"%", "%NOTHING%", "%REQ%", "%REQ()%", "%PROTOCOL(X)%", "%REQ(A", "%REQ(A):x%", "%DURATION",
                            "%START_TIME(%3f)%"}) {
    CHECK_MESSAGE(!LogFormat::line(wrong).has_value(), wrong);
  }
  for (const char* wrong : {"", "[]", "{\"a\":1}", "{\"a\":\"%X%\"}"}) {
    CHECK_MESSAGE(!LogFormat::json(wrong).has_value(), wrong);
  }
}

}  // namespace
}  // namespace leat
