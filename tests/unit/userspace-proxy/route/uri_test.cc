#include "userspace-proxy/route/uri.h"

#include <doctest/doctest.h>

#include <google/protobuf/text_format.h>

namespace leat::proxy::route {
namespace {

template <typename Message>
Message read(const std::string& text) {
  Message message;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &message));
  return message;
}

std::string rewritten(const std::string& rewrite, std::string_view path, MatchedPath matched) {
  std::string problem;
  const auto written = PathRewrite(read<v1::Rewrite>(rewrite), &problem).apply(path, matched);
  CHECK(problem.empty());
  return written.value_or("too long");
}

std::string location(const std::string& redirect, const Redirect::Asked& asked, MatchedPath matched = {.bytes = 1}) {
  return Redirect(read<v1::Redirect>(redirect)).location(asked, matched);
}

constexpr Redirect::Asked kAsked{
    .scheme = "http", .authority = "backend:8080", .path = "/old/a", .query = "q=1", .port = 8080};

}  // namespace

TEST_CASE("what matched is replaced, byte for byte where it is no whole segment") {
  CHECK(rewritten("prefix: '/v1/ratings'", "/ratings/7", {.bytes = 8}) == "/v1/ratings/7");
  CHECK(rewritten("prefix: '/'", "/api/x", {.bytes = 5}) == "/x");
  CHECK(rewritten("prefix: '/'", "/api/x", {.bytes = 4}) == "//x");  // as Envoy does
  CHECK(rewritten("prefix: '/new'", "/old", {.bytes = 4}) == "/new");
  CHECK(rewritten("prefix: '/'", "/as/it/was", {.bytes = 1}) == "/as/it/was");
  CHECK(rewritten("prefix: 'new'", "/old", {.bytes = 4}) == "/new");  // a path begins with '/'
}

TEST_CASE("between whole segments stands one slash, whoever has it") {
  constexpr MatchedPath kFoo{.bytes = 4, .whole_segments = true};
  CHECK(rewritten("prefix: '/xyz'", "/foo/bar", kFoo) == "/xyz/bar");
  CHECK(rewritten("prefix: '/xyz/'", "/foo/bar", kFoo) == "/xyz/bar");
  CHECK(rewritten("prefix: '/xyz'", "/foo/", kFoo) == "/xyz/");
  CHECK(rewritten("prefix: '/xyz'", "/foo", kFoo) == "/xyz");
  CHECK(rewritten("prefix: '/'", "/foo/bar", kFoo) == "/bar");
  CHECK(rewritten("prefix: '/'", "/foo/", kFoo) == "/");
  CHECK(rewritten("prefix: '/'", "/foo", kFoo) == "/");
  CHECK(rewritten("prefix: '/xyz'", "/foo", {.bytes = 1, .whole_segments = true}) == "/xyz/foo");
}

TEST_CASE("a regular expression replaces all that it finds, and groups stand where they are named") {
  CHECK(rewritten(R"(regex { match: "^/service/([^/]+)(/.*)$" rewrite: "\\2/of/\\1" })", "/service/foo/v1/api", {}) ==
        "/v1/api/of/foo");
  CHECK(rewritten("regex { match: 'one' rewrite: 'two' }", "/xxx/one/yyy/one/zzz", {}) == "/xxx/two/yyy/two/zzz");
  CHECK(rewritten("regex { match: 'absent' rewrite: '' }", "/path", {}) == "/path");
  CHECK(rewritten("regex { match: '^.*$' rewrite: '' }", "/path", {}) == "/");
  CHECK(rewritten("regex { match: 'x*' rewrite: '-' }", "/axxb", {}) == "/-/-a-b-");
}

TEST_CASE("a path that would be longer than a server takes is not written") {
  const std::string many(1000, 'y');
  CHECK(rewritten("regex { match: '' rewrite: '" + many + "' }", "/" + std::string(100, 'x'), {}) == "too long");
  CHECK(rewritten("prefix: '/" + many + "'", "/" + std::string(kMaxPathBytes - 500, 'x'), {.bytes = 1}) == "too long");
}

TEST_CASE("a redirect changes what it names and keeps the rest") {
  CHECK(location("", kAsked) == "http://backend:8080/old/a?q=1");
  CHECK(location("path: '/new'", kAsked) == "http://backend:8080/new?q=1");
  CHECK(location("path: '/new?x=2'", kAsked) == "http://backend:8080/new?x=2");
  CHECK(location("authority: 'shop.example.com'", kAsked) == "http://shop.example.com/old/a?q=1");
  CHECK(location("path: '/new' path_is_prefix: true", kAsked, {.bytes = 4}) == "http://backend:8080/new/a?q=1");
  CHECK(location("path: '/' path_is_prefix: true", kAsked, {.bytes = 4, .whole_segments = true}) ==
        "http://backend:8080/a?q=1");
  CHECK(Redirect(read<v1::Redirect>("code: 308")).code() == 308);
  CHECK(Redirect(read<v1::Redirect>("")).code() == 301);
}

TEST_CASE("a port is written where one is asked for and it is not the scheme's own") {
  CHECK(location("port: 8443 scheme: 'https'", kAsked) == "https://backend:8443/old/a?q=1");
  CHECK(location("port: 443 scheme: 'https'", kAsked) == "https://backend/old/a?q=1");
  CHECK(location("port: 9000 authority: '[fd00::1]:80'", kAsked) == "http://[fd00::1]:9000/old/a?q=1");
  CHECK(location("port_of_request: true authority: 'shop'", kAsked) == "http://shop:8080/old/a?q=1");
  Redirect::Asked port80 = kAsked;
  port80.authority = "backend:80";
  CHECK(location("scheme: 'https'", port80) == "https://backend/old/a?q=1");
  CHECK(location("scheme: 'https'", kAsked) == "https://backend:8080/old/a?q=1");
}

}  // namespace leat::proxy::route
