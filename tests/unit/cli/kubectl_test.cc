#include "cli/kubectl.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "cli/agent_client.h"

using leat::cli::FramedChild;
using leat::cli::merge_replies;
using leat::cli::NodeReply;
using leat::cli::ProxyPod;
using leat::cli::read_proxy_pods;
using nlohmann::json;
namespace v1 = leat::v1;
using namespace std::chrono_literals;

namespace {

json pod(const char* name, const char* node, bool ready, const char* since, const char* phase = "Running") {
  return {{"metadata", {{"name", name}, {"creationTimestamp", since}}},
          {"spec", {{"nodeName", node}}},
          {"status", {{"phase", phase}, {"conditions", {{{"type", "Ready"}, {"status", ready ? "True" : "False"}}}}}}};
}

std::vector<ProxyPod> chosen(const std::vector<json>& pods, const char* node = "") {
  return *read_proxy_pods(json{{"items", pods}}.dump(), node);
}

}  // namespace

TEST_CASE("of each node one proxy is asked: a running one, the ready before the new") {
  const auto pods = chosen({pod("b-old", "b", true, "2026-01-01"), pod("b-new", "b", true, "2026-01-02"),
                            pod("a-ready", "a", true, "2026-01-01"), pod("a-starts", "a", false, "2026-01-02"),
                            pod("c-gone", "c", true, "2026-01-01", "Failed")});
  CHECK(pods == std::vector<ProxyPod>{{"a", "a-ready"}, {"b", "b-new"}});
}

TEST_CASE("one node may be chosen, and what is no list is refused") {
  const std::vector<json> both{pod("a1", "a", true, "1"), pod("b1", "b", true, "1")};
  CHECK(chosen(both, "b") == std::vector<ProxyPod>{{"b", "b1"}});
  CHECK(chosen(both, "x").empty());
  CHECK_FALSE(read_proxy_pods("Error from server", ""));
  CHECK_FALSE(read_proxy_pods("[]", ""));
}

TEST_CASE("a child that ends says why in its last line") {
  auto child = FramedChild::start({"sh", "-c", "echo first >&2; echo 'error: pods \"x\" not found' >&2; exit 1"});
  REQUIRE(child);
  const auto reply = child->receive(std::chrono::steady_clock::now() + 10s);
  REQUIRE_FALSE(reply);
  CHECK(reply.error().message == "kubectl exec ended: error: pods \"x\" not found");
  CHECK_FALSE(FramedChild::start({"/no/such/program"}));
}

TEST_CASE("a frame goes out and comes back, and what is no frame is refused") {
  auto echo = FramedChild::start({"cat"});
  REQUIRE(echo);
  REQUIRE(echo->send("hello"));
  CHECK(*echo->receive(std::chrono::steady_clock::now() + 10s) == "hello");
  auto words = FramedChild::start({"sh", "-c", "echo this is no frame"});
  CHECK_FALSE(words->receive(std::chrono::steady_clock::now() + 10s));
}

TEST_CASE("the nodes' answers are one: lists in a row, counters of one name added up") {
  const auto node = [](const char* name, double value) {
    NodeReply each{.node = name, .reply = {}};
    each.reply.add_flows()->set_node(name);
    for (const char* label : {"x", "y"}) {
      v1::Counter& counter = *each.reply.add_counters();
      counter.set_name("requests");
      (*counter.mutable_labels())["to"] = label;
      counter.set_value(value);
      counter.mutable_histogram()->add_counts(2);
    }
    each.reply.set_next_closed_sequence(7);
    return each;
  };
  auto replies = std::vector{node("a", 1), node("b", 10)};
  replies[1].reply.set_error("its proxy does not answer");
  const v1::ApiReply merged = merge_replies(replies);
  CHECK(merged.flows_size() == 2);
  REQUIRE(merged.counters_size() == 2);
  CHECK(merged.counters(0).value() == 11);
  CHECK(merged.counters(0).histogram().counts(0) == 4);
  CHECK(merged.error() == "b: its proxy does not answer");
  CHECK(merged.next_closed_sequence() != 0);
}
