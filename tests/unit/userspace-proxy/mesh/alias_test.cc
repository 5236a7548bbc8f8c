#include "userspace-proxy/mesh/alias.h"

#include <doctest/doctest.h>

namespace leat::proxy {

TEST_CASE("a destination alias decodes to the id that it was made from, in both families") {
  for (const uint32_t id : {0u, 1u, 0x123456u, 0x3ffffeu}) {
    CHECK(destination_id(destination_alias(id, false)) == id);
    CHECK(destination_id(destination_alias(id, true)) == id);
  }
  CHECK(destination_alias(1, false).text() == "127.128.0.1");
  CHECK(source_alias(1, false).text() == "127.192.0.1");
  CHECK(destination_alias(0x3ffffe, true).text() == "fd6c:6561:7400:d::3f:fffe");
}

TEST_CASE("an address outside the destination block has no id") {
  for (const char* text : {"127.0.0.1", "127.127.0.1", "127.192.0.1", "10.0.0.1", "::1", "fd6c:6561:7400:f::1",
                           "fd6c:6561:7400:d:1::1", "fd6c:6561:7400:d::ffff:ffff"}) {
    CAPTURE(text);
    CHECK(!destination_id(*IpAddress::parse(text)));
  }
  CHECK(!destination_id(source_alias(7, false)));
  CHECK(!destination_id(source_alias(7, true)));
}

}  // namespace leat::proxy
