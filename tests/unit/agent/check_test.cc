#include "agent/check.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using leat::agent::check;
using leat::agent::CheckFacts;
using leat::agent::ProxyInfo;
namespace v1 = leat::v1;

namespace {

const CheckFacts::Time kNow{1'000'000s};

CheckFacts healthy() {
  return {.now = kNow,
          .kernel = "6.12",
          .features = {{.name = "sk_lookup", .ok = true, .needed = true}},
          .hooks = {{.name = "connect4", .ok = true, .needed = true}},
          .maps = {{.name = "direct", .entries = 1, .capacity = 100, .when_full = "the alias path is taken"}},
          .pods = {{.name = "shop/a"}},
          .proxies = {{.instance = "i",
                       .version = "0.1.0",
                       .backend = "io_uring",
                       .workers = 2,
                       .pid = 9,
                       .armed = true,
                       .acknowledged_generation = 5}},
          .lease_epoch = 3,
          .generation = 5,
          .published = kNow - 10s,
          .capabilities = "cap_bpf"};
}

// Each row that is not ok, as "area status: text → cure".
std::vector<std::string> complaints(const CheckFacts& facts) {
  std::vector<std::string> lines;
  for (const v1::CheckItem& item : check(facts)) {
    if (item.status() != "ok")
      lines.push_back(item.area() + " " + item.status() + ": " + item.text() + " -> " + item.cure());
  }
  return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("a healthy node has nothing to complain about, and says what it runs on") {
  CHECK(complaints(healthy()).empty());
  const auto rows = check(healthy());
  CHECK(std::ranges::any_of(rows, [](const v1::CheckItem& row) {
    return row.area() == "proxy" && row.text() == "version 0.1.0, process 9, 2 workers, io_uring, lease 3";
  }));
}

TEST_CASE("a missing proxy is a failure that says what happens to connections, and since when") {
  auto facts = healthy();
  facts.proxies.clear();
  facts.without_proxy_since = kNow - 90s;
  REQUIRE(complaints(facts).size() == 1);
  CHECK(complaints(facts)[0].starts_with("proxy fail: none for 90 s; new connections wait for it -> start leat-proxy"));
  facts.slots_closed = true;
  CHECK(complaints(facts)[0].starts_with(
      "proxy fail: none for 90 s; PERMISSIVE pods go untouched, STRICT ones are refused"));
}

TEST_CASE("every missing prerequisite, hook and pod has a row with its cure") {
  auto facts = healthy();
  facts.features.push_back({.name = "ingress_ifindex", .ok = false, .needed = false, .cure = "use kernel 5.17"});
  facts.hooks.push_back({.name = "sockops", .ok = false, .needed = true, .cure = "restart the agent"});
  facts.pods.push_back({.name = "shop/b", .failure = "no such namespace"});
  CHECK(complaints(facts) == Lines{"kernel warn: 6.12: ingress_ifindex is missing -> use kernel 5.17",
                                   "hooks fail: sockops is not attached -> restart the agent",
                                   "capture fail: pod shop/b is not captured: no such namespace -> it is tried again "
                                   "every 2 s; remove what the sentence names, or the pod"});
}

TEST_CASE("a map warns before it is full, and says what happens then") {
  auto facts = healthy();
  facts.maps[0].entries = 80;
  CHECK(complaints(facts) == Lines{"maps warn: direct 80 / 100 -> when full: the alias path is taken"});
  facts.maps[0].entries = 100;
  CHECK(complaints(facts) == Lines{"maps fail: direct 100 / 100 -> when full: the alias path is taken"});
}

TEST_CASE("a proxy on an older model, and one that does not answer, are told") {
  auto facts = healthy();
  facts.generation = 6;
  facts.silent_proxies = {"i"};
  const auto lines = complaints(facts);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].starts_with("proxy fail: i does not answer"));
  CHECK(lines[1].starts_with("model warn: generation 6, 10 s old; the proxy acts on 5"));
}

TEST_CASE("certificates that are not renewed warn before they end, and expired ones fail") {
  auto facts = healthy();
  const int64_t now_ms = 1'000'000'000;
  v1::Certificate certificate;
  certificate.set_identity("spiffe://x");
  certificate.set_state("valid");
  certificate.set_not_before_ms(now_ms - 500'000);
  certificate.set_not_after_ms(now_ms + 500'000);
  facts.certificates = {certificate};
  CHECK(complaints(facts).empty());
  facts.certificates[0].set_not_before_ms(now_ms - 9'500'000);
  facts.certificates[0].set_last_error("the CA is away");
  REQUIRE(complaints(facts).size() == 1);
  CHECK(complaints(facts)[0].starts_with(
      "certificates warn: spiffe://x expires in 8 min; the last request failed: the CA is away"));
  facts.certificates[0].set_not_after_ms(now_ms - 1);
  CHECK(complaints(facts)[0].starts_with("certificates fail: spiffe://x has expired"));
}

TEST_CASE("a CA of the cluster that refuses is told in its own words, with the place where its log says why") {
  auto facts = healthy();
  facts.ca_address = "leat-ca.leat-system.svc:15012";
  facts.ca_error = "CA leat-ca.leat-system.svc:15012 answered: pod not found on node-b";
  v1::Certificate certificate;
  certificate.set_identity("spiffe://cluster.local/ns/shop/sa/cart");
  certificate.set_state("pending");
  certificate.set_last_error(facts.ca_error);
  facts.certificates = {certificate};
  const std::string log = "kubectl -n leat-system logs -l app.kubernetes.io/name=leat-ca --tail=-1";
  CHECK(complaints(facts) ==
        Lines{"certificates warn: " + facts.ca_error + " -> " + log,
              "certificates warn: spiffe://cluster.local/ns/shop/sa/cart has none yet; the last request failed: " +
                  facts.ca_error + " -> " + log + " | grep /ns/shop/sa/cart"});
  facts.ca_address = "istiod.istio-system.svc:15012";
  CHECK(complaints(facts)[0].ends_with(" -> see the log of the CA at istiod.istio-system.svc:15012"));
}
