#include "common/cni_message.h"

#include <doctest/doctest.h>

#include "common/enrolled_namespaces.h"

using namespace leat::cni;

TEST_CASE("a question comes over as it was asked") {
  const Request asked{.command = "ADD",
                      .container = {"c1", "eth0"},
                      .netns = "/run/netns/x",
                      .pod_namespace = "shop",
                      .pod_name = "a",
                      .pod_uid = "u",
                      .addresses = {"10.1.0.1", "fd00::1"},
                      .wait_ms = 7900,
                      .valid = {{"c1", "eth0"}, {"c2", "net1"}}};
  const auto heard = decode_request(encode(asked));
  REQUIRE(heard);
  CHECK(encode(*heard) == encode(asked));
  CHECK(heard->valid == asked.valid);
  CHECK(heard->wait_ms == 7900);
}

TEST_CASE("what is no question is none") {
  for (const char* packet :
       {"", "[]", "{}", "nonsense", R"({"command":"PWN"})", R"({"command":5})", R"({"command":"ADD","waitMs":-1})",
        R"({"command":"ADD","waitMs":4294967296})", R"({"command":"ADD","addresses":[1]})",
        R"({"command":"ADD","addresses":"10.1.0.1"})", R"({"command":"GC","valid":[["a"]]})", R"({"command":"ADD")"}) {
    CAPTURE(packet);
    CHECK_FALSE(decode_request(packet));
  }
  Request endless{.command = "ADD"};
  endless.pod_name = std::string(257, 'a');
  CHECK_FALSE(decode_request(encode(endless)));
  endless.pod_name = std::string(256, 'a');
  CHECK(decode_request(encode(endless)));
  endless.addresses.assign(17, "10.1.0.1");
  CHECK_FALSE(decode_request(encode(endless)));
}

TEST_CASE("an answer without a code is none: silence must not read as leave to pass") {
  CHECK_FALSE(decode_reply("{}"));
  CHECK_FALSE(decode_reply("[]"));
  CHECK(decode_reply(R"({"code":0})"));
  CHECK(decode_reply(encode(Reply{.code = Code::kTryAgainLater, .message = "later"}))->message == "later");
}

TEST_CASE("enrolled namespaces: a truncated file at any byte is not an empty one") {
  const std::string text = save({{"shop", "2026-01-01T00:00:00Z"}, {"pay", "2026-01-02T00:00:00Z"}});
  CHECK(load_enrolled_namespaces(text)->size() == 2);
  for (size_t length = 0; length + 2 < text.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(load_enrolled_namespaces(text.substr(0, length)));
  }
  CHECK(load_enrolled_namespaces(save({}))->empty());
  CHECK_FALSE(load_enrolled_namespaces(R"({"version":2,"namespaces":{}})"));
  CHECK_FALSE(load_enrolled_namespaces(R"({"version":1})"));
  CHECK_FALSE(load_enrolled_namespaces(R"({"version":1,"namespaces":{"a":1}})"));
}
