#include "agent/config.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include <fmt/format.h>

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
        "leat.yaml:4: ca is not a text: give the folder of the mesh's root key, shared by the nodes, or "
        "certificate_authority\n"
        "leat.yaml:6: cgroups.agent is missing: give the cgroup2 folder that this agent runs in\n"
        "leat.yaml:6: cgroups.agents is not a setting: remove it; known are pods, agent, kubelet\n"
        "leat.yaml:7: proxy_user is not the id of an unprivileged user: give the numeric user id that leat-proxy runs "
        "as, not 0, such as 61001\n"
        "leat.yaml:8: log is `loud`: give debug, info, warn or error\n"
        "leat.yaml:9: colour is not a setting: remove it; known are node, kubernetes, objects, state, "
        "certificate_authority, ca, bpffs, cgroups, proxy_user, proxy_seccomp, cni, dns, tls_files, ambient_label, "
        "log");
}

TEST_CASE("certificates come from a folder or from a CA of the cluster, and from one place") {
  const auto with = [](const char* field) {
    std::string yaml = kWhole;
    yaml.replace(yaml.find("ca: /run/leat/ca"), 16, field);
    return parse_config(yaml, "leat.yaml");
  };
  const auto config =
      with("certificate_authority: {address: \"leat-ca.leat-system.svc:15012\", root: /r.pem, token: /t}");
  REQUIRE(config);
  CHECK(config->remote_ca.address == "leat-ca.leat-system.svc:15012");
  CHECK(config->remote_ca.root_file == "/r.pem");
  CHECK(config->remote_ca.token_file == "/t");
  CHECK(config->remote_ca.server_name.empty());
  CHECK_FALSE(with(""));
  for (const char* address : {"leat-ca", ":15012", "leat-ca:", "leat-ca:x"})
    CHECK_FALSE(with(fmt::format("certificate_authority: {{address: \"{}\", root: /r.pem}}", address).c_str()));
  CHECK_FALSE(with("certificate_authority: {address: \"a:1\"}"));
  const auto both = with("ca: /run/leat/ca\ncertificate_authority: {address: \"a:1\", root: /r.pem}");
  REQUIRE_FALSE(both);
  CHECK(both.error().message.find("certificate_authority stands beside ca") != std::string::npos);
}

TEST_CASE("the labels of Istio's ambient mode count where that is said, and nothing else can be said") {
  const auto with = [](const std::string& field) { return parse_config(std::string(kWhole) + field, "leat.yaml"); };
  CHECK_FALSE(with("")->ambient_label);
  CHECK(with("ambient_label: true\n")->ambient_label);
  const auto wrong = with("ambient_label: sometimes\n");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().message.find("ambient_label is not true or false") != std::string::npos);
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
      for_cluster("kubernetes: {servers: [\"https://10.0.0.1:6443/\", \"https://b:6443\"], netns: /var/run/netns, "
                  "daemonSet: leat-system/leat-agent, lease: other/lease}"),
      "x");
  REQUIRE(given);
  CHECK(given->node == "node-a");
  CHECK(given->kubernetes.servers == std::vector<std::string>{"https://10.0.0.1:6443", "https://b:6443"});
  CHECK(given->kubernetes.netns == "/var/run/netns");
  CHECK(given->kubernetes.daemon_set.text() == "leat-system/leat-agent");
  CHECK(given->kubernetes.lease.text() == "other/lease");
}

TEST_CASE("a cluster beside a folder, one that is nowhere, and a server without TLS are refused") {
  CHECK(parse_config(std::string(kWhole) + "kubernetes: {servers: [\"https://a:1\"]}\n", "x")
            .error()
            .message.find("objects come from one place") != std::string::npos);
  CHECK(parse_config(for_cluster("kubernetes: {}"), "x").error().message ==
        "x:7: kubernetes.servers is missing: give [https://HOST:PORT, …], or leave it out in a pod");
  CHECK_FALSE(parse_config(for_cluster("kubernetes: {servers: [\"http://a:1\"]}"), "x"));
  CHECK_FALSE(parse_config(for_cluster("kubernetes: yes"), "x"));
  CHECK_FALSE(parse_config(for_cluster("kubernetes: {servers: [\"https://a:1\"], daemonSet: leat-agent}"), "x"));
  CHECK_FALSE(parse_config(for_cluster("kubernetes: {servers: [\"https://a:1\"], lease: a/b/c}"), "x"));
}

TEST_CASE("leat-cni is served where it is asked for, and installed where the host's folders are given") {
  CHECK_FALSE(parse_config(kWhole, "leat.yaml")->cni);
  const auto served = parse_config(std::string(kWhole) + "cni: {}\n", "leat.yaml");
  REQUIRE(served);
  REQUIRE(served->cni);
  CHECK(served->cni->netns == "/run/netns");
  CHECK(served->cni->conf.empty());
  CHECK(served->cni->wait == std::chrono::milliseconds(8000));
  CHECK(served->cni_socket() == "/run/leat/state/cni.sock");
  const auto installed = parse_config(
      std::string(kWhole) + "cni: {conf: /etc/cni/net.d/, bin: /opt/cni/bin, install: own-file, wait_ms: 5000}\n",
      "leat.yaml");
  REQUIRE(installed);
  CHECK(installed->cni->conf == "/etc/cni/net.d");
  CHECK(installed->cni->install == leat::agent::Cni::Install::kOwnFile);
  CHECK(installed->cni->wait == std::chrono::milliseconds(5000));
}

TEST_CASE("what leat-cni can't be served with is named") {
  for (const auto& [settings, message] :
       std::vector<std::pair<std::string, std::string>>{{"{conf: /etc/cni/net.d}", "cni.bin is missing"},
                                                        {"{conf: net.d, bin: /b}", "cni.conf is not an absolute path"},
                                                        {"{install: everywhere}", "cni.install is `everywhere`"},
                                                        {"{wait_ms: 99}", "cni.wait_ms is no such time"},
                                                        {"{wait_ms: soon}", "cni.wait_ms is no such time"},
                                                        {"{colour: blue}", "cni.colour is not a setting"},
                                                        {"yes", "cni is not a map"}}) {
    CAPTURE(settings);
    const auto config = parse_config(std::string(kWhole) + "cni: " + settings + "\n", "leat.yaml");
    REQUIRE_FALSE(config);
    CHECK(config.error().message.contains(message));
  }
}
