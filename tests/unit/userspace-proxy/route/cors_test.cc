#include "userspace-proxy/route/cors.h"

#include <doctest/doctest.h>

#include <fmt/format.h>
#include <google/protobuf/text_format.h>

namespace leat::proxy::route {
namespace {

using Kind = Cors::Kind;

Cors policy(const std::string& text) {
  v1::Cors message;
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, &message));
  std::vector<std::string> problems;
  Cors cors(message, &problems);
  CHECK(problems.empty());
  return cors;
}

constexpr Cors::Asked kGet{.method = "GET", .origin = "http://a.com"};
constexpr Cors::Asked kPreflight{
    .method = "OPTIONS", .origin = "http://a.com", .requested_method = "PUT", .requested_headers = "x-one,x-two"};

// "origin=http://a.com credentials=true": what the answer says, without "access-control-" and "allow-".
std::string said(const Cors& cors, const Cors::Asked& asked) {
  std::string text;
  cors.describe(cors.judge(asked), asked, [&](std::string_view name, std::string_view value) {
    name.remove_prefix(std::string_view("access-control-").size());
    if (name.starts_with("allow-")) name.remove_prefix(6);
    text += fmt::format("{}={} ", name, value);
  });
  return text;
}

}  // namespace

TEST_CASE("a request without an origin, or with one that is not allowed, passes as if there was no policy") {
  const Cors cors = policy("allow_origins { exact: 'http://a.com' } forward_unmatched_preflights: true");
  CHECK(cors.judge({.method = "GET"}) == Kind::kNone);
  CHECK(cors.judge({.method = "GET", .origin = "http://b.com"}) == Kind::kNone);
  CHECK(cors.judge({.method = "OPTIONS", .origin = "http://b.com", .requested_method = "PUT"}) == Kind::kNone);
  CHECK(said(cors, {.method = "GET", .origin = "http://b.com"}).empty());
}

TEST_CASE("a preflight from elsewhere is answered with nothing where it is not to be forwarded") {
  const Cors cors = policy("allow_origins { exact: 'http://a.com' }");
  const Cors::Asked foreign{.method = "OPTIONS", .origin = "http://b.com", .requested_method = "PUT"};
  CHECK(cors.judge(foreign) == Kind::kRefusedPreflight);
  CHECK(said(cors, foreign).empty());
}

TEST_CASE("an answer names its origin, and a preflight all that is allowed") {
  const Cors cors = policy(R"(allow_origins { regex: "http://[ab]\\.com" } allow_methods: 'GET' allow_methods: 'PUT'
    allow_headers: 'x-one' expose_headers: 'x-back' max_age_s: 86400 allow_credentials: true)");
  CHECK(said(cors, kGet) == "origin=http://a.com credentials=true expose-headers=x-back ");
  CHECK(said(cors, kPreflight) == "origin=http://a.com credentials=true methods=GET,PUT headers=x-one max-age=86400 ");
  CHECK(cors.judge({.method = "OPTIONS", .origin = "http://a.com"}) == Kind::kAllowed);  // an ordinary OPTIONS
}

TEST_CASE("a star allows every origin, and with credentials it stands for what is asked") {
  CHECK(said(policy("allow_origins { exact: '*' } allow_methods: '*'"), kPreflight) ==
        "origin=http://a.com methods=* ");
  CHECK(said(policy("allow_origins { exact: '*' } allow_methods: '*' allow_headers: '*' allow_credentials: true"),
             kPreflight) == "origin=http://a.com credentials=true methods=PUT headers=x-one,x-two ");
}

}  // namespace leat::proxy::route
