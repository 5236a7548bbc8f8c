#include "cli/describe.h"

#include <doctest/doctest.h>

using leat::cli::describe_pod;
using leat::cli::describe_service;
using leat::cli::Facts;
using leat::cli::Json;

namespace {

constexpr int64_t kNow = 1'000'000;

Facts facts() {
  return {.pods = Json::array({{{"namespace", "shop"},
                                {"name", "front"},
                                {"node", "node-a"},
                                {"serviceAccount", "frontend"},
                                {"owner", ""},
                                {"addresses", {"10.1.0.11"}},
                                {"enrolment", "enrolled"},
                                {"reason", "label on namespace shop"},
                                {"sinceMs", kNow - 60'000},
                                {"mtls", "STRICT"},
                                {"portMtls", Json::object()}},
                               {{"namespace", "other"},
                                {"name", "plain"},
                                {"node", "node-a"},
                                {"serviceAccount", "plain"},
                                {"addresses", {"10.1.0.12"}},
                                {"enrolment", "not enrolled"},
                                {"reason", "namespace other has no label"}}}),
          .services = Json::array({{{"namespace", "shop"},
                                    {"name", "backend"},
                                    {"vips", {"10.96.0.10"}},
                                    {"ports",
                                     {{{"port", 8080},
                                       {"name", "http"},
                                       {"appProtocol", ""},
                                       {"protocol", "http"},
                                       {"loadBalancing", "least-request"}}}},
                                    {"endpoints",
                                     {{{"address", "10.2.0.11"},
                                       {"pod", "shop/backend-1"},
                                       {"node", "node-b"},
                                       {"ready", true},
                                       {"captured", true}},
                                      {{"address", "10.2.0.12"},
                                       {"pod", "shop/backend-2"},
                                       {"node", "node-b"},
                                       {"ready", false},
                                       {"captured", false}}}}}}),
          .routes = Json::array(
              {{{"namespace", "shop"},
                {"host", "backend"},
                {"matches", Json::array()},
                {"destinations", {{{"subset", "v1"}, {"percent", 90.0}}, {{"subset", "v2"}, {"percent", 10.0}}}},
                {"actions", {"retries 2"}},
                {"from",
                 {{"kind", "VirtualService"},
                  {"namespace", "shop"},
                  {"name", "split"},
                  {"file", "split.yaml"},
                  {"line", 6}}}}}),
          .certificates = Json::array({{{"identity", "spiffe://cluster.local/ns/shop/sa/frontend"},
                                        {"state", "valid"},
                                        {"notAfterMs", kNow + 3'600'000},
                                        {"lastError", "CA ca:1 answered: pod not found on node-a"},
                                        {"node", "node-a"}}}),
          .flows = Json::array({{{"direction", "outbound"},
                                 {"path", "hbone"},
                                 {"sourceNamespace", "shop"},
                                 {"sourcePod", "front"},
                                 {"destinationService", "shop/backend"},
                                 {"requestedPort", 8080},
                                 {"security", "mTLS"},
                                 {"requests", 7},
                                 {"verdict", "open"}},
                                {{"direction", "outbound"},
                                 {"path", "untouched"},
                                 {"sourceNamespace", "shop"},
                                 {"sourcePod", "front"},
                                 {"destinationAddress", "1.2.3.4"},
                                 {"destinationPort", 443}},
                                {{"direction", "inbound"},
                                 {"path", "proxy"},
                                 {"sourceAddress", "10.9.0.4"},
                                 {"destinationNamespace", "shop"},
                                 {"destinationPod", "front"},
                                 {"closedMs", kNow},
                                 {"verdict", "denied"},
                                 {"reason", "STRICT, plaintext"},
                                 {"cure", "enrol its namespace"}}})};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a pod is told with why it is captured, what it accepts, and what happened to each of its ways") {
  const auto text = describe_pod(facts(), "", "shop/front", kNow);
  REQUIRE(text);
  CAPTURE(*text);
  CHECK(has(*text, "Pod shop/front on node-a: 10.1.0.11; service account frontend\n"));
  CHECK(has(*text, "Captured for 60s: label on namespace shop.\n"));
  CHECK(has(*text, "Accepts mutual TLS only (STRICT)"));
  CHECK(has(*text, "The last request for one failed: CA ca:1 answered: pod not found on node-a\n"));
  CHECK(has(*text, "  to shop/backend:8080   1 open, 0 closed lately, 7 requests: other node, mTLS\n"));
  CHECK(has(*text, "      VirtualService shop/split split.yaml:6: v1 90 %, v2 10 %; retries 2\n"));
  CHECK(has(*text, "  to 1.2.3.4:443   1 open, 0 closed lately: not in the mesh: untouched\n"));
  CHECK(has(*text, "  from 10.9.0.4 (not a pod of the mesh)   0 open, 1 closed lately"));
  CHECK(has(*text, "      1 × denied: STRICT, plaintext; cure: enrol its namespace\n"));
}

TEST_CASE("a pod outside the mesh is said to be untouched, with the reason") {
  const auto text = describe_pod(facts(), "other", "plain", kNow);
  REQUIRE(text);
  CHECK(has(*text, "Not captured (not enrolled): namespace other has no label. Its traffic is untouched.\n"));
  CHECK_FALSE(has(*text, "Accepts"));
}

TEST_CASE("a Service is told with its routes, its endpoints and who calls it") {
  const auto text = describe_service(facts(), "", "backend");
  REQUIRE(text);
  CAPTURE(*text);
  CHECK(has(*text, "Service shop/backend: 10.96.0.10\n"));
  CHECK(has(*text, "  Port 8080: http (port name \"http\"), least-request\n"));
  CHECK(has(*text, "  VirtualService shop/split split.yaml:6: v1 90 %, v2 10 %; retries 2\n"));
  CHECK(has(*text, "shop/backend-1 on node-b, in the mesh"));
  CHECK(has(*text, "shop/backend-2 on node-b, not ready, outside the mesh: reached in plaintext"));
  CHECK(has(*text, "  from shop/front   1 open"));
}

TEST_CASE("a Service and who connects to it are told what a rule for some clients says") {
  Facts known = facts();
  known.services[0]["clientRules"] = Json::array({{{"rule", "team/some"},
                                                   {"clients", "clients in team with app=web"},
                                                   {"ports", {{{"port", 8080}, {"loadBalancing", "round-robin"}}}}}});
  const auto service = describe_service(known, "", "backend");
  REQUIRE(service);
  CHECK(has(*service, "    for clients in team with app=web: port 8080 round-robin, by DestinationRule team/some\n"));
  const auto pod = describe_pod(known, "", "shop/front", kNow);
  REQUIRE(pod);
  CHECK(has(*pod, "        for clients in team with app=web: round-robin, by DestinationRule team/some\n"));
}

TEST_CASE("a name that is nobody's or several's is an error that says so") {
  Facts known = facts();
  CHECK(describe_pod(known, "", "nobody", kNow).error().message == "no pod nobody is known to Leat here");
  CHECK_FALSE(describe_service(known, "other", "backend"));
  Json twin = known.pods[0];
  twin["namespace"] = "test";
  known.pods.push_back(twin);
  CHECK(describe_pod(known, "", "front", kNow).error().message ==
        "pod front is in several namespaces: shop, test; choose one with -n");
  CHECK(describe_pod(known, "test", "front", kNow));
}
