#include "common/spiffe.h"

#include <doctest/doctest.h>

using leat::SpiffeId;

TEST_CASE("a workload's SPIFFE ID survives the trip through text") {
  const auto id = SpiffeId::parse("spiffe://cluster.local/ns/shop/sa/front-end");
  REQUIRE(id);
  CHECK(id->trust_domain == "cluster.local");
  CHECK(id->ns == "shop");
  CHECK(id->service_account == "front-end");
  CHECK(id->text() == "spiffe://cluster.local/ns/shop/sa/front-end");
  CHECK(SpiffeId::make("cluster.local", "shop", "front-end").value() == *id);
}

TEST_CASE("text that breaks a SPIFFE rule is no identity") {
  for (const char* text : {
           "",
           "spiffe://",
           "spiffe://td",
           "spiffe://td/",
           "Spiffe://td/ns/a/sa/b",
           "https://td/ns/a/sa/b",
           "spiffe:/td/ns/a/sa/b",
           "spiffe:///ns/a/sa/b",       // no trust domain
           "spiffe://TD/ns/a/sa/b",     // upper case
           "spiffe://td:80/ns/a/sa/b",  // port
           "spiffe://me@td/ns/a/sa/b",  // user
           "spiffe://td/ns/a/sa/b?x",   // query
           "spiffe://td/ns/a/sa/b#x",   // fragment
           "spiffe://td/ns/a%2f/sa/b",  // percent
           "spiffe://td/ns/a/sa/b/",    // trailing slash
           "spiffe://td/ns//sa/b",
           "spiffe://td//ns/a/sa/b",
           "spiffe://td/ns/./sa/b",
           "spiffe://td/ns/a/sa/..",
           "spiffe://td/ns/a/sa/b/c",  // too long a path
           "spiffe://td/sa/b/ns/a",
           "spiffe://td/ns/a",
           "spiffe://td/ns/a/xx/b",
           " spiffe://td/ns/a/sa/b",
           "spiffe://td/ns/a/sa/b ",
       }) {
    CAPTURE(text);
    CHECK_FALSE(SpiffeId::parse(text));
  }
  CHECK_FALSE(SpiffeId::parse(std::string_view("spiffe://td/ns/a\0b/sa/c", 23)));
  CHECK_FALSE(SpiffeId::parse("spiffe://" + std::string(256, 'a') + "/ns/a/sa/b"));
  CHECK(SpiffeId::parse("spiffe://" + std::string(255, 'a') + "/ns/a/sa/b"));
  CHECK_FALSE(SpiffeId::parse("spiffe://td/ns/a/sa/" + std::string(2048, 'b')));
  CHECK_FALSE(SpiffeId::make("td", "a/sa/x", "b"));
}
