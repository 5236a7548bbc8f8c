#include "agent/cni/pod_gate.h"

#include <doctest/doctest.h>

#include <optional>

#include "control/parse.h"

using namespace std::chrono_literals;
using leat::EventLoop;
using leat::agent::PodGate;
namespace control = leat::control;

namespace {

struct Node {
  std::unique_ptr<EventLoop> loop = *EventLoop::make();
  control::ObjectSet objects;
  bool read = true;
  uint64_t captured = 0;
  std::string failure;
  PodGate gate{*loop,
               {.objects = [this]() -> const control::ObjectSet& { return objects; },
                .objects_are_there = [this] { return read; },
                .captured_cookie = [this](const std::string& uid) { return uid == "u1" ? captured : 0; },
                .last_failure = [this](const std::string&) { return failure; }}};
  std::optional<leat::cni::Reply> reply;

  Node() {
    put("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {leat.dev/mesh: enabled}}\n");
    put("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n");
  }
  void put(const std::string& yaml) {
    for (control::Object& object : control::parse(yaml, "test.yaml", "default").objects) objects.put(std::move(object));
  }
  void put_pod(const std::string& metadata = "uid: u1", const std::string& spec = "") {
    put("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop, " + metadata +
        ", annotations: {leat.dev/netns: /run/netns/a}}\nspec: {nodeName: node-a" + spec +
        "}\nstatus: {podIP: 10.1.0.7, phase: Running}\n");
  }
  void add(const std::string& ns = "shop", const std::string& uid = "u1") {
    gate.add({.name = {ns, "a"}, .uid = uid, .cookie = 42}, 10ms,
             [this](const leat::cni::Reply& said) { reply = said; });
  }
  void wait_for_reply() {
    while (!reply) loop->run_once(100ms);
  }
};

}  // namespace

TEST_CASE("a pod outside the mesh passes at once") {
  Node node;
  node.add("default");
  REQUIRE(node.reply);
  CHECK(node.reply->code == leat::cni::Code::kOk);
}

TEST_CASE("a pod passes when its very namespace is captured, and not before") {
  Node node;
  node.put_pod();
  node.captured = 41;  // its former sandbox
  node.add();
  CHECK_FALSE(node.reply);
  node.gate.reconsider();
  CHECK_FALSE(node.reply);
  node.captured = 42;
  node.gate.reconsider();
  REQUIRE(node.reply);
  CHECK(node.reply->code == leat::cni::Code::kOk);
  CHECK(node.gate.waiting() == 0);
}

TEST_CASE("a pod whose object has not come, or is another pod's, waits; labels that let it go let it pass") {
  Node node;
  node.add();
  CHECK_FALSE(node.reply);
  node.put_pod("uid: u0, labels: {leat.dev/mesh: disabled}");
  node.gate.reconsider();
  CHECK_FALSE(node.reply);
  node.put_pod("uid: u1, labels: {leat.dev/mesh: disabled}");
  node.gate.reconsider();
  REQUIRE(node.reply);
  CHECK(node.reply->code == leat::cni::Code::kOk);
}

TEST_CASE("before the objects are there nobody is known to be outside") {
  Node node;
  node.read = false;
  node.add("default");
  CHECK_FALSE(node.reply);
  node.wait_for_reply();
  CHECK(node.reply->code == leat::cni::Code::kTryAgainLater);
  CHECK(node.reply->message.contains("has not read the mesh's objects"));
}

TEST_CASE("time runs out with the reason of the last failure") {
  Node node;
  node.put_pod();
  node.failure = "port 15008 is taken";
  node.add();
  node.wait_for_reply();
  CHECK(node.reply->code == leat::cni::Code::kTryAgainLater);
  CHECK(node.reply->message.contains("pod shop/a could not be captured in time"));
  CHECK(node.reply->message.contains("port 15008 is taken"));
  CHECK(node.gate.waiting() == 0);
  node.captured = 42;
  node.gate.reconsider();  // nobody is asked twice
}

TEST_CASE("CHECK tells a captured pod from one that should be") {
  Node node;
  node.put_pod();
  CHECK(node.gate.check({.name = {"shop", "a"}, .uid = "u1", .cookie = 42}).code == leat::cni::Code::kNotCaptured);
  node.captured = 42;
  CHECK(node.gate.check({.name = {"shop", "a"}, .uid = "u1", .cookie = 42}).code == leat::cni::Code::kOk);
  CHECK(node.gate.check({.name = {"default", "a"}, .uid = "u1", .cookie = 42}).code == leat::cni::Code::kOk);
}
