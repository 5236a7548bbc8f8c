#include "userspace-proxy/balance/hash_key.h"

#include <doctest/doctest.h>

#include <map>

#include "userspace-proxy/balance/hash_table.h"

namespace leat::proxy {
namespace {

const IpAddress kSource = IpAddress::v4(0x0a000001);

struct Asked {
  std::map<std::string, std::string> fields;
  std::string query;

  [[nodiscard]] HashKey key(const v1::ConsistentHash& hash, uint64_t random = 5) const {
    v1::TrafficPolicy policy;
    *policy.mutable_hash() = hash;
    const auto find = [&](std::string_view name, std::string&) {
      const auto found = fields.find(std::string(name));
      return found == fields.end() ? std::nullopt : std::optional<std::string_view>(found->second);
    };
    return hash_key(Policy(policy), route::Headers(find), query, kSource, random);
  }
};

v1::ConsistentHash by_cookie(uint64_t ttl_ms, bool session = false) {
  v1::ConsistentHash hash;
  hash.mutable_cookie()->set_name("user");
  hash.mutable_cookie()->set_path("/shop");
  hash.mutable_cookie()->set_ttl_ms(ttl_ms);
  hash.mutable_cookie()->set_session(session);
  return hash;
}

}  // namespace

TEST_CASE("a header, a query parameter or the source's address is hashed, and what is missing is not") {
  v1::ConsistentHash hash;
  hash.set_header("x-user");
  CHECK(Asked{.fields = {{"x-user", "ada"}}}.key(hash).hash == hash_of("ada"));
  CHECK_FALSE(Asked{}.key(hash).hash);
  hash.set_query_param("user");
  CHECK(Asked{.query = "a=1&user=ada"}.key(hash).hash == hash_of("ada"));
  CHECK_FALSE(Asked{.query = "a=1"}.key(hash).hash);
  hash.set_source_address(true);
  CHECK(Asked{}.key(hash).hash == hash_of(kSource.wire()));
}

TEST_CASE("a cookie is found among others, with and without quotes") {
  CHECK(cookie_value("a=1; user=ada; b=2", "user") == "ada");
  CHECK(cookie_value("user=\"ada\"", "user") == "ada");
  CHECK(cookie_value("user=", "user") == "");
  CHECK(cookie_value("a=1, user=ada", "user") == "ada");
  CHECK_FALSE(cookie_value("users=ada; xuser=b; user", "user"));
  CHECK_FALSE(cookie_value("", "user"));
}

TEST_CASE("a cookie that is missing is made where it has a time to live, and its next request goes the same way") {
  const HashKey made = Asked{}.key(by_cookie(1500), 0xabc);
  CHECK(made.set_cookie == "user=\"0000000000000abc\"; Max-Age=2; Path=/shop; HttpOnly");
  CHECK(Asked{.fields = {{"cookie", "user=\"0000000000000abc\""}}}.key(by_cookie(1500)).hash == made.hash);
  CHECK(Asked{}.key(by_cookie(0, true), 1).set_cookie == "user=\"0000000000000001\"; Path=/shop; HttpOnly");
  CHECK(Asked{}.key(by_cookie(0)).set_cookie.empty());
  CHECK_FALSE(Asked{}.key(by_cookie(0)).hash);
  CHECK(Asked{.fields = {{"cookie", "user=ada"}}}.key(by_cookie(1500)).set_cookie.empty());
}

TEST_CASE("of a connection only the source's address can be hashed") {
  v1::TrafficPolicy policy;
  CHECK_FALSE(hash_key(Policy(policy), kSource));
  policy.mutable_hash()->set_header("x");
  CHECK_FALSE(hash_key(Policy(policy), kSource));
  policy.mutable_hash()->set_source_address(true);
  CHECK(hash_key(Policy(policy), kSource) == hash_of(kSource.wire()));
}

}  // namespace leat::proxy
