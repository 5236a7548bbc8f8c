#include "ca/caller.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using leat::ErrorCode;
using leat::SpiffeId;
using leat::ca::Caller;
using leat::ca::check_agent;
using leat::ca::check_node;
using leat::ca::PodFacts;
using leat::ca::read_pods;
using leat::ca::read_token_review;
using nlohmann::json;

namespace {

json good_review() {
  return {{"status",
           {{"authenticated", true},
            {"audiences", {"istio-ca"}},
            {"user",
             {{"username", "system:serviceaccount:leat-system:leat-agent"},
              {"extra",
               {{"authentication.kubernetes.io/pod-name", {"leat-agent-x"}},
                {"authentication.kubernetes.io/pod-uid", {"uid-x"}},
                {"authentication.kubernetes.io/node-name", {"node-b"}}}}}}}}};
}

const Caller kAgent{
    .ns = "leat-system", .service_account = "leat-agent", .pod = "leat-agent-x", .pod_uid = "uid-x", .node = "node-b"};
const SpiffeId kWanted{"cluster.local", "shop", "cart"};

std::vector<PodFacts> pods() {
  return {
      {.ns = "leat-system", .name = "leat-agent-x", .uid = "uid-x", .service_account = "leat-agent", .node = "node-b"},
      {.ns = "shop", .name = "cart-1", .uid = "uid-1", .service_account = "cart", .node = "node-b"}};
}

std::string why(const leat::Result<void>& result) { return result ? "" : result.error().message; }

}  // namespace

TEST_CASE("a reviewed token says whose it is, of which pod and node") {
  const auto caller = read_token_review(good_review().dump(), "istio-ca");
  REQUIRE(caller);
  CHECK(caller->ns == "leat-system");
  CHECK(caller->service_account == "leat-agent");
  CHECK(caller->pod == "leat-agent-x");
  CHECK(caller->pod_uid == "uid-x");
  CHECK(caller->node == "node-b");
}

TEST_CASE("a token that is not good, of another audience, no service account's or bound to no pod is denied") {
  const auto denied = [](const json& review) {
    const auto caller = read_token_review(review.dump(), "istio-ca");
    return !caller && caller.error().code == ErrorCode::kDenied;
  };
  json review = good_review();
  review["status"]["authenticated"] = false;
  CHECK(denied(review));
  review = good_review();
  review["status"]["authenticated"] = "true";
  CHECK(denied(review));
  review = good_review();
  review["status"]["audiences"] = {"https://kubernetes.default.svc"};
  CHECK(denied(review));
  review = good_review();
  review["status"].erase("audiences");  // an API server that does not know audiences vouches for nothing
  CHECK(denied(review));
  review = good_review();
  review["status"]["user"]["username"] = "system:node:node-b";
  CHECK(denied(review));
  for (const char* extra : {"authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"}) {
    review = good_review();
    review["status"]["user"]["extra"].erase(extra);
    CHECK(denied(review));
    review["status"]["user"]["extra"][extra] = {"one", "two"};
    CHECK(denied(review));
  }
  CHECK_FALSE(read_token_review("{", "istio-ca"));
  CHECK(denied(json::array()));
}

TEST_CASE("only the agents' service account asks for others") {
  CHECK(check_agent(kAgent, {"leat-system/leat-agent"}));
  Caller other = kAgent;
  other.service_account = "default";
  CHECK_FALSE(check_agent(other, {"leat-system/leat-agent"}));
  other = kAgent;
  other.ns = "shop";
  CHECK_FALSE(check_agent(other, {"leat-system/leat-agent"}));
}

TEST_CASE("a node has the identities of its own pods that have not ended") {
  CHECK(check_node(kAgent, kWanted, pods()));
  CHECK(why(check_node(kAgent, SpiffeId{"cluster.local", "shop", "pay"}, pods())) ==
        "pod not found on node-b: none there has the service account shop/pay");
  CHECK_FALSE(check_node(kAgent, SpiffeId{"cluster.local", "other", "cart"}, pods()));
  auto changed = pods();
  changed[1].ended = true;
  CHECK_FALSE(check_node(kAgent, kWanted, changed));
  changed = pods();
  changed[1].node = "node-a";  // a list that is not of this node
  CHECK_FALSE(check_node(kAgent, kWanted, changed));
}

TEST_CASE("a token outlives its pod by no request") {
  auto changed = pods();
  changed[0].uid = "uid-of-the-next";
  CHECK(why(check_node(kAgent, kWanted, changed)) == "the agent's pod leat-system/leat-agent-x is not found on node-b");
  changed = pods();
  changed[0].node = "node-a";
  CHECK_FALSE(check_node(kAgent, kWanted, changed));
  changed = pods();
  changed.erase(changed.begin());
  CHECK_FALSE(check_node(kAgent, kWanted, changed));
  changed = pods();
  changed[0].ended = true;
  CHECK_FALSE(check_node(kAgent, kWanted, changed));
}

TEST_CASE("pods are read from a list and from a pod, and one without an account, a mirror pod, has none") {
  const json pod = {{"metadata", {{"namespace", "shop"}, {"name", "cart-1"}, {"uid", "u"}}},
                    {"spec", {{"nodeName", "node-b"}}},
                    {"status", {{"phase", "Failed"}}}};
  const auto one = read_pods(pod.dump());
  REQUIRE(one);
  REQUIRE(one->size() == 1);
  CHECK(one->front().service_account.empty());
  CHECK(one->front().ended);
  CHECK(read_pods(json{{"items", {pod, pod}}}.dump())->size() == 2);
  CHECK(read_pods(R"({"items":null})")->empty());
  CHECK_FALSE(read_pods("[]"));
  CHECK_FALSE(read_pods(R"({"items":7})"));
  CHECK(read_pods(R"({"items":[7,"x",{"metadata":3}]})")->size() == 3);  // and none of them is anybody's
}
