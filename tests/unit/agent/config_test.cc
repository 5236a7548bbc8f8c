#include "agent/config.h"

#include <doctest/doctest.h>

#include <cstdlib>

using leat::agent::parse_config;

namespace {
constexpr const char* kWhole = R"(node: node-a
objects: /run/leat/objects
state: /run/leat/state/
ca: /run/leat/ca
bpffs: /sys/fs/bpf/leat
cgroups: {pods: /sys/fs/cgroup/pods, agent: /sys/fs/cgroup/agent}
proxy_user: 61001
)";
}  // namespace

TEST_CASE("a whole configuration is read, and what may be left out has its default") {
  const auto config = parse_config(kWhole, "leat.yaml");
  REQUIRE(config);
  CHECK(config->node == "node-a");
  CHECK(config->state == "/run/leat/state");
  CHECK(config->proxy_socket() == "/run/leat/state/proxy.sock");
  CHECK(config->pods_cgroup == "/sys/fs/cgroup/pods");
  CHECK(config->kubelet_cgroup.empty());
  CHECK(config->proxy_user == 61001);
  CHECK(config->log == "info");
}

TEST_CASE("every wrong field is named at once, with its line and the cure") {
  const auto config = parse_config(R"(node: node-a
objects: objects
state: /run/leat/state
ca: [1]
bpffs: /sys/fs/bpf/leat
cgroups: {pods: /p, agents: /a}
proxy_user: root
log: loud
colour: blue
)",
                                   "leat.yaml");
  REQUIRE_FALSE(config);
  CHECK(config.error().code == leat::ErrorCode::kInvalid);
  CHECK(config.error().message ==
        "leat.yaml:2: objects is not an absolute path: give the folder of the Kubernetes YAML files, or "
        "kubernetes: {}\n"
        "leat.yaml:4: ca is not a text: give the folder of the mesh's root key, shared by the nodes\n"
        "leat.yaml:6: cgroups.agent is missing: give the cgroup2 folder that this agent runs in\n"
        "leat.yaml:6: cgroups.agents is not a setting: remove it; known are pods, agent, kubelet\n"
        "leat.yaml:7: proxy_user is not the id of an unprivileged user: give the numeric user id that leat-proxy runs "
        "as, not 0, such as 61001\n"
        "leat.yaml:8: log is `loud`: give debug, info, warn or error\n"
        "leat.yaml:9: colour is not a setting: remove it; known are node, kubernetes, objects, state, ca, "
        "bpffs, cgroups, proxy_user, log");
}

TEST_CASE("a proxy may not be root, nor an id that does not fit") {
  for (const char* user : {"0", "-1", "4294967295", "99999999999999999999", ""}) {
    std::string text = kWhole;
    text.replace(text.find("61001"), 5, user);
    CAPTURE(user);
    CHECK_FALSE(parse_config(text, "leat.yaml"));
  }
}

TEST_CASE("a file that is no YAML map is refused with its line") {
  CHECK(parse_config("a: [", "leat.yaml").error().message.starts_with("leat.yaml:1: is not YAML"));
  CHECK(parse_config("- a\n", "leat.yaml").error().message.starts_with("leat.yaml:1: is not a map"));
  CHECK(parse_config("", "leat.yaml").error().message.starts_with("leat.yaml:1: is not a map"));
}

namespace {
// What every pod finds in its environment.
struct PodEnvironment {
  PodEnvironment() {
    setenv("NODE_NAME", "node-of-pod", 1);
    setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
    setenv("KUBERNETES_SERVICE_PORT", "443", 1);
  }
  ~PodEnvironment() {
    for (const char* name : {"NODE_NAME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}) unsetenv(name);
  }
};

std::string for_cluster(const std::string& kubernetes) {
  std::string text = kWhole;
  text.erase(text.find("objects"), text.find("state") - text.find("objects"));
  return text + kubernetes + "\n";
}
}  // namespace

TEST_CASE("in a pod a cluster needs no more than its name, and what is given counts") {
  const PodEnvironment pod;
  std::string text = for_cluster("kubernetes: {}");
  text.erase(0, text.find('\n') + 1);  // node
  const auto config = parse_config(text, "leat.yaml");
  REQUIRE(config);
  CHECK(config->node == "node-of-pod");
  CHECK(config->objects.empty());
  CHECK(config->kubernetes.servers == std::vector<std::string>{"https://[fd00::1]:443"});
  CHECK(config->kubernetes.token == "/var/run/secrets/kubernetes.io/serviceaccount/token");
  CHECK(config->kubernetes.netns == "/run/netns");

  const auto given = parse_config(
      for_cluster("kubernetes: {servers: [\"https://10.0.0.1:6443/\", \"https://b:6443\"], netns: /var/run/netns}"),
      "x");
  REQUIRE(given);
  CHECK(given->node == "node-a");
  CHECK(given->kubernetes.servers == std::vector<std::string>{"https://10.0.0.1:6443", "https://b:6443"});
  CHECK(given->kubernetes.netns == "/var/run/netns");
}

TEST_CASE("a cluster beside a folder, one that is nowhere, and a server without TLS are refused") {
  CHECK(parse_config(std::string(kWhole) + "kubernetes: {servers: [\"https://a:1\"]}\n", "x")
            .error()
            .message.find("objects come from one place") != std::string::npos);
  CHECK(parse_config(for_cluster("kubernetes: {}"), "x").error().message ==
        "x:7: kubernetes.servers is missing: give [https://HOST:PORT, …], or leave it out in a pod");
  CHECK_FALSE(parse_config(for_cluster("kubernetes: {servers: [\"http://a:1\"]}"), "x"));
  CHECK_FALSE(parse_config(for_cluster("kubernetes: yes"), "x"));
}
