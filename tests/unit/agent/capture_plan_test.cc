#include "agent/capture_plan.h"

#include <doctest/doctest.h>

using leat::IpAddress;
using leat::agent::add_aliases;
using leat::agent::to_capture_plan;
namespace control = leat::control;

namespace {
const IpAddress kVip = *IpAddress::parse("10.96.0.1"), kPod = *IpAddress::parse("10.1.0.11");

control::CapturePlan plan() {
  control::CapturePlan plan;
  plan.pods.push_back({.uid = "cart-1", .index = 3, .addresses = {kPod}, .mtls = leat::v1::MTLS_STRICT});
  plan.aliases = {{.id = 1, .address = kVip, .destination = true},
                  {.id = 2, .address = kVip},
                  {.id = 5, .address = kPod, .destination = true}};
  plan.services.push_back(
      {.alias_id = 1, .port = 80, .local = {{kPod, 8080, 3}}, .remote_endpoints = 1, .remote_alias_id = 2});
  return plan;
}
}  // namespace

TEST_CASE("the whole plan reaches the kernel when the proxy knows all ids") {
  auto out = to_capture_plan(plan(), {});
  add_aliases(plan().aliases, {}, out);
  REQUIRE(out.pods.size() == 1);
  CHECK(out.pods[0].strict);
  CHECK(out.pods[0].index == 3);
  REQUIRE(out.aliases.size() == 3);
  CHECK(out.aliases[0].destination);
  CHECK_FALSE(out.aliases[1].destination);
  REQUIRE(out.direct.size() == 1);
  CHECK(out.direct[0].remote_alias_id == 2);
  CHECK(out.direct[0].local[0].port == 8080);
}

TEST_CASE("no connection is sent to an id that the proxy does not know yet, and strictness is not held back") {
  auto out = to_capture_plan(plan(), {1, 2});
  add_aliases(plan().aliases, {1, 2}, out);
  CHECK(out.pods[0].strict);
  CHECK_FALSE(out.aliases[0].destination);
  CHECK(out.aliases[2].destination);
  CHECK(out.direct.empty());
}

TEST_CASE("a direct service waits for its second id too") { CHECK(to_capture_plan(plan(), {2}).direct.empty()); }
