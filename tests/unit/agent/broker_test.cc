#include "agent/broker.h"

#include <doctest/doctest.h>

#include "agent/limits.h"

using leat::ErrorCode;
using leat::UniqueFd;
using leat::agent::Broker;
using leat::agent::SourceIds;
namespace limits = leat::agent::limits;
namespace v1 = leat::v1;

namespace {

constexpr Broker::Time kNow{};
constexpr char kIdentity[] = "spiffe://cluster.local/ns/shop/sa/cart";

v1::Mesh mesh() {
  v1::Mesh mesh;
  mesh.mutable_settings()->set_trust_domain("cluster.local");
  const auto add = [&](const char* uid, const char* account, bool local, bool captured) {
    auto& pod = *mesh.add_workloads();
    pod.set_uid(uid);
    pod.set_namespace_("shop");
    pod.set_service_account(account);
    pod.set_local(local);
    pod.set_captured(captured);
  };
  add("cart-1", "cart", true, true);
  add("far-1", "far", false, true);
  add("plain-1", "plain", true, false);
  return mesh;
}

struct Fixture {
  leat::control::AliasBook book;
  SourceIds ids{book};
  Broker broker{
      {.make_sockets = [](const std::string&, bool, uint32_t count) { return std::vector<UniqueFd>(count); },
       .sign = [](const Broker::Tools::Order& order,
                  const auto& done) { done(std::vector<std::string>{"leaf of " + order.request.identity()}); }},
      ids,
      kNow};
  Fixture() { broker.set_pods(mesh()); }

  v1::Sockets sockets(const char* pod, uint32_t count = 1) {
    v1::SocketRequest request;
    request.set_workload_uid(pod);
    request.set_count(count);
    auto [answer, fds] = broker.sockets(request, kNow);
    CHECK(fds.size() == answer.sockets().count());
    return answer.sockets();
  }
  v1::Signed sign(const std::string& identity) {
    v1::SignRequest request;
    request.set_request(7);
    request.set_identity(identity);
    v1::Signed answered;
    broker.sign("i", request, kNow, [&](const v1::ToProxy& answer) { answered = answer.signed_(); });
    return answered;
  }
  v1::SourceId source(const char* pod, const char* address) {
    v1::SourceIdRequest request;
    request.set_workload_uid(pod);
    request.set_address(leat::IpAddress::parse(address)->wire());
    return broker.source_id("i", request).source_id();
  }
};

}  // namespace

TEST_CASE("sockets are made in captured pods of this node only") {
  Fixture node;
  CHECK(node.sockets("cart-1", 3).count() == 3);
  for (const char* other : {"far-1", "plain-1", "nobody"}) {
    const auto refused = node.sockets(other);
    CHECK(refused.count() == 0);
    CHECK(refused.error() == std::string(other) + " is not a captured pod of this node");
  }
  CHECK(node.broker.counters().sockets == 3);
  CHECK(node.broker.counters().socket_refusals == 3);
}

TEST_CASE("a pod that opens connections without end uses up its own quota, which a new model does not refill") {
  Fixture node;
  for (double i = 0; i < limits::kSocketBurstAPod / limits::kMaxSocketsARequest; ++i)
    REQUIRE(node.sockets("cart-1", 32).count() == 32);
  CHECK(node.sockets("cart-1", 32).count() == 0);
  node.broker.set_pods(mesh());
  CHECK(node.sockets("cart-1", 32).count() == 0);
}

TEST_CASE("certificates are issued for identities of captured pods of this node only") {
  Fixture node;
  const auto good = node.sign(kIdentity);
  CHECK(good.request() == 7);
  CHECK(good.chain_der(0) == std::string("leaf of ") + kIdentity);
  for (const char* other : {"spiffe://cluster.local/ns/shop/sa/far", "spiffe://cluster.local/ns/shop/sa/plain",
                            "spiffe://other/ns/shop/sa/cart", "spiffe://cluster.local/ns/shop/sa/cart/", ""}) {
    CAPTURE(other);
    CHECK(node.sign(other).chain_der_size() == 0);
    CHECK_FALSE(node.sign(other).error().empty());
  }
}

TEST_CASE("a proxy has all certificates when each identity of the node was signed for itself, not for another") {
  Fixture node;
  CHECK_FALSE(node.broker.has_all_certificates("i"));
  node.sign(kIdentity);
  CHECK(node.broker.has_all_certificates("i"));
  CHECK_FALSE(node.broker.has_all_certificates("j"));
  node.broker.forget("i");
  CHECK_FALSE(node.broker.has_all_certificates("i"));
  node.broker.set_pods({});
  CHECK(node.broker.has_all_certificates("i"));
}

TEST_CASE("no client from outside is given an id that decodes to a loopback address") {
  Fixture node;
  CHECK(node.source("cart-1", "10.9.0.4").error().empty());
  CHECK_FALSE(node.source("cart-1", "127.0.0.1").error().empty());
  CHECK_FALSE(node.source("cart-1", "::1").error().empty());
  CHECK_FALSE(node.source("cart-1", "0.0.0.0").error().empty());
  CHECK_FALSE(node.source("far-1", "10.9.0.4").error().empty());
}
