#include "agent/capture/tables.h"

#include <doctest/doctest.h>

#include "bpf/alias.h"

namespace leat::capture {
namespace {

IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

PodSpec pod(uint32_t index, std::vector<IpAddress> addresses) {
  return {.uid = "pod-" + std::to_string(index),
          .index = index,
          .addresses = std::move(addresses),
          .netns_path = "/run/netns/x"};
}

Tables build(const Plan& plan, std::vector<std::string>* notes = nullptr) {
  std::vector<const PodSpec*> pods;
  for (const PodSpec& each : plan.pods) pods.push_back(&each);
  std::vector<std::string> ignored;
  return build_tables(plan, pods, notes ? *notes : ignored);
}

TEST_CASE("an address is the same 16 bytes on both sides") {
  CHECK(from_leat_ip(to_leat_ip(ip("10.0.0.1"))) == ip("10.0.0.1"));
  CHECK(from_leat_ip(to_leat_ip(ip("fd00::1"))) == ip("fd00::1"));
  CHECK(to_leat_ip(ip("10.0.0.1")).word[2] == htonl(0xffff));
}

TEST_CASE("a pod may have one address of each family, no more and no fewer than one") {
  CHECK(validate(pod(0, {ip("10.0.0.1")})));
  CHECK(validate(pod(1023, {ip("10.0.0.1"), ip("fd00::1")})));
  CHECK_FALSE(validate(pod(0, {})));
  CHECK_FALSE(validate(pod(0, {ip("10.0.0.1"), ip("10.0.0.2")})));
  CHECK_FALSE(validate(pod(1024, {ip("10.0.0.1")})));
  PodSpec nameless = pod(0, {ip("10.0.0.1")});
  nameless.uid = std::string(64, 'x');
  CHECK_FALSE(validate(nameless));
}

TEST_CASE("a pod's row says whether its exceptions must be looked up") {
  PodSpec plain = pod(3, {ip("10.0.0.1")});
  CHECK(pod_row(plain, 7).flags == 0);
  CHECK(pod_row(plain, 7).netns_cookie == 7);
  plain.strict = true;
  plain.port_mtls[80] = v1::MTLS_PERMISSIVE;
  plain.outbound.ports = {22};
  plain.inbound.cidrs = {Cidr::parse("10.0.0.0/8").value()};
  CHECK(pod_row(plain, 7).flags ==
        (LEAT_POD_STRICT | LEAT_POD_PORT_MTLS | LEAT_POD_EXCLUDES_OUTBOUND | LEAT_POD_EXCLUDES_INBOUND));
}

TEST_CASE("an IPv4 exclusion is a prefix of the 128-bit form, behind the pod and the direction") {
  Plan plan{.pods = {pod(3, {ip("10.0.0.1")})}};
  plan.pods[0].outbound.cidrs = {Cidr::parse("10.0.0.0/8").value()};
  const Tables tables = build(plan);
  REQUIRE(tables.excluded_networks.size() == 1);
  const leat_network_key& key = tables.excluded_networks.begin()->first;
  CHECK(key.prefix_bits == 64 + 96 + 8);
  CHECK(key.pod == 3);
  CHECK(key.direction == LEAT_NETWORK_OUTBOUND);
}

TEST_CASE("only a destination's id is written over its address; every id is decoded") {
  const Plan plan{
      .aliases = {{.id = 5, .address = ip("10.7.0.5"), .destination = true}, {.id = 6, .address = ip("10.7.0.5")}}};
  const Tables tables = build(plan);
  CHECK(tables.destinations.size() == 1);
  CHECK(tables.destinations.at(to_leat_ip(ip("10.7.0.5"))) == 5);
  CHECK(tables.alias_addresses.size() == 2);
}

TEST_CASE("an id beyond the range, whose address would be 127.255.255.255, is left out and named") {
  std::vector<std::string> notes;
  const Tables tables =
      build({.aliases = {{.id = LEAT_ALIAS_ID_MAX + 1, .address = ip("10.7.0.5"), .destination = true}}}, &notes);
  CHECK(tables.destinations.empty());
  CHECK(notes.size() == 1);
}

Plan with_direct(DirectService service, v1::SameNode same_node = v1::SAME_NODE_DIRECT) {
  return {.aliases = {{.id = 5, .address = ip("10.7.0.5"), .destination = true}, {.id = 6, .address = ip("10.7.0.5")}},
          .direct = {std::move(service)},
          .same_node = same_node};
}

TEST_CASE("local backends take slots from 0, and the total counts the remote ones") {
  const Tables tables = build(with_direct({.alias_id = 5,
                                           .port = 80,
                                           .local = {{ip("10.0.0.1"), 8080, 1}, {ip("10.0.0.2"), 8080, 2}},
                                           .remote_endpoints = 3,
                                           .remote_alias_id = 6}));
  const leat_service service = tables.services.at({.alias = 5, .port = 80, .slot = 0});
  CHECK(service.local == 2);
  CHECK(service.total == 5);
  CHECK(service.remote_alias == 6);
  CHECK(tables.backends.at({.alias = 5, .port = 80, .slot = 1}).pod == 2);
}

TEST_CASE("nothing is joined in the kernel with sameNode proxy or mtls") {
  const DirectService service{.alias_id = 5, .port = 80, .local = {{ip("10.0.0.1"), 8080, 1}}};
  CHECK(build(with_direct(service)).services.size() == 1);
  CHECK(build(with_direct(service, v1::SAME_NODE_PROXY)).services.empty());
  CHECK(build(with_direct(service, v1::SAME_NODE_MTLS)).services.empty());
}

TEST_CASE("a share that can't be honoured in full goes by the proxy and is named") {
  const auto refused = [](const DirectService& service) {
    std::vector<std::string> notes;
    return build(with_direct(service), &notes).services.empty() && notes.size() == 1;
  };
  CHECK(refused({.alias_id = 9, .port = 80, .local = {{ip("10.0.0.1"), 8080, 1}}}));
  CHECK(refused({.alias_id = 5, .port = 80, .local = {{ip("fd00::1"), 8080, 1}}}));
  CHECK(refused(
      {.alias_id = 5, .port = 80, .local = {{ip("10.0.0.1"), 8080, 1}}, .remote_endpoints = 1, .remote_alias_id = 9}));
}

TEST_CASE("a service with remote endpoints only is the proxy's, silently") {
  std::vector<std::string> notes;
  CHECK(build(with_direct({.alias_id = 5, .port = 80, .remote_endpoints = 2, .remote_alias_id = 6}), &notes)
            .services.empty());
  CHECK(notes.empty());
}

TEST_CASE(
    "a local pod that is asked for by its own address is joined in the kernel at every port, a remote one is not") {
  Plan plan{.pods = {pod(3, {ip("10.0.0.3")})},
            .aliases = {{.id = 7, .address = ip("10.0.0.3"), .destination = true},
                        {.id = 8, .address = ip("10.0.9.9"), .destination = true}}};
  const Tables tables = build(plan);
  CHECK(tables.services.size() == 1);
  CHECK(tables.backends.at({.alias = 7, .port = LEAT_ANY_PORT, .slot = 0}).pod == 3);
  plan.same_node = v1::SAME_NODE_PROXY;
  CHECK(build(plan).services.empty());
}

TEST_CASE("a plan of what changed opens, closes and joins with what is known already") {
  Plan plan{
      .pods = {pod(3, {ip("10.0.0.3")})},
      .aliases = {{.id = 8, .address = ip("10.0.9.9")}, {.id = 10, .address = ip("10.0.9.10"), .destination = true}},
      .direct = {{.alias_id = 5, .port = 80, .local = {{ip("10.0.0.3"), 8080, 3}}},
                 {.alias_id = 9, .port = 80, .local = {{ip("10.0.0.3"), 8080, 3}}}},
      .all_aliases = false,
      .removed_aliases = {9}};
  Rows<uint32_t, leat_ip> names;
  Rows<leat_ip, uint32_t> destinations;
  for (const auto& [id, address] : {std::pair(5u, "10.7.0.5"), {7u, "10.0.0.3"}, {8u, "10.0.9.9"}, {9u, "10.7.0.9"}}) {
    names[id] = to_leat_ip(ip(address));
    destinations[to_leat_ip(ip(address))] = id;
  }
  const Known known{names, destinations};
  std::vector<std::string> notes;
  const Tables tables = build_tables(plan, {&plan.pods[0]}, notes, &known);
  CHECK(tables.gone_destinations.size() == 2);  // of 8, which only decodes now, and of 9
  CHECK(tables.destinations.size() == 1);
  CHECK(tables.services.contains({.alias = 5, .port = 80, .slot = 0}));
  CHECK(tables.services.contains({.alias = 7, .port = LEAT_ANY_PORT, .slot = 0}));  // the pod by its own address
  CHECK(tables.services.size() == 2);
  CHECK(notes.size() == 1);  // of 9
}

TEST_CASE("the same plan makes the same rows") {
  const Plan plan = with_direct({.alias_id = 5, .port = 80, .local = {{ip("10.0.0.1"), 8080, 1}}});
  const auto bytes = [](const Tables& tables) {
    return std::string(reinterpret_cast<const char*>(&tables.backends.begin()->second), sizeof(leat_backend));
  };
  CHECK(bytes(build(plan)) == bytes(build(plan)));
}

}  // namespace
}  // namespace leat::capture
