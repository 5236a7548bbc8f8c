#include "cni/plugin.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/cni_message.h"
#include "common/enrolled_namespaces.h"
#include "common/unique_fd.h"
#include "tests/unit/agent/temporary_folder.h"

using namespace leat::cni;
using leat::UniqueFd;
using Json = nlohmann::json;

namespace {

// An agent that answers each connection with the next of its replies; an empty one closes without a word.
class FakeAgent {
 public:
  FakeAgent(const std::string& folder, std::vector<std::string> replies) : replies_(std::move(replies)) {
    listener_ = UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    (folder + "/" + kSocketFile).copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_.get(), 16) == 0);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeAgent() { stop(); }

  std::vector<Request> stop() {
    shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    return heard_;
  }

 private:
  void serve() {
    for (const std::string& reply : replies_) {
      const UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      std::string packet(kMaxMessageBytes, '\0');
      const ssize_t size = recv(client.get(), packet.data(), packet.size(), 0);
      if (size > 0) {
        if (const auto request = decode_request(packet.substr(0, static_cast<size_t>(size))))
          heard_.push_back(*request);
      }
      if (!reply.empty()) send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    }
  }

  std::vector<std::string> replies_;
  std::vector<Request> heard_;
  UniqueFd listener_;
  std::thread thread_;
};

struct Runtime {
  leat::agent::TemporaryFolder folder;
  std::map<std::string, std::string> variables{
      {"CNI_COMMAND", "ADD"},
      {"CNI_CONTAINERID", "c0ffee"},
      {"CNI_NETNS", "/dev/null"},  // any file that is not our own namespace
      {"CNI_IFNAME", "eth0"},
      {"CNI_PATH", "/opt/cni/bin"},
      {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_UID=uid-1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=a"}};
  Json config{{"cniVersion", "1.0.0"},         {"name", "pods"}, {"type", "leat-cni"}, {"state", folder.path},
              {"ownNamespace", "leat-system"}, {"waitMs", 300}};
  std::string prev_result = R"({"cniVersion":"1.0.0","ips":[{"address":"10.1.0.7/24"}]})";  // empty: none

  void enrol(const EnrolledNamespaces& namespaces) const {
    std::ofstream(folder.path + "/" + kEnrolledFile) << save(namespaces);
  }
  [[nodiscard]] std::string input() const {
    std::string text = config.dump();
    if (!prev_result.empty()) text.insert(text.size() - 1, ", \"prevResult\" : " + prev_result);
    return text;
  }
  Outcome run(const std::string& command) {
    variables["CNI_COMMAND"] = command;
    return run_with(input());
  }
  Outcome run_with(const std::string& text) {
    return run_plugin([this](const char* name) { return variables.contains(name) ? variables.at(name) : ""; },
                      [&]() -> Expected<std::string> { return text; });
  }
};

Json error_of(const Outcome& outcome) {
  CHECK(outcome.status == 1);
  return Json::parse(outcome.out);
}

const EnrolledNamespaces kShop{{"shop", "2026-01-01T00:00:00Z"}};
const std::string kYes = encode(Reply{});

}  // namespace

// ---------------------------------------------------------------- what passes

TEST_CASE("a pod outside the mesh passes without an agent, and the result is what came in, byte for byte") {
  Runtime runtime;
  runtime.enrol({{"other", "2026-01-01T00:00:00Z"}});
  for (const char* version : {"0.3.1", "0.4.0", "1.0.0", "1.1.0"}) {
    CAPTURE(version);
    runtime.config["cniVersion"] = version;
    runtime.prev_result =
        R"({ "cniVersion":")" + std::string(version) +
        R"(", "ips":[{"version":"4","address":"10.1.0.7/24","x-own":1.50e2}],"zz":{"n":18446744073709551616},"aa":[] })";
    const Outcome outcome = runtime.run("ADD");
    CHECK(outcome.status == 0);
    CHECK(outcome.out == runtime.prev_result + "\n");
  }
}

TEST_CASE("Leat's own pods pass whatever the file says, and so does what is no pod") {
  Runtime runtime;
  runtime.enrol({{"leat-system", "2026-01-01T00:00:00Z"}});
  runtime.variables["CNI_ARGS"] = "K8S_POD_NAMESPACE=leat-system;K8S_POD_NAME=leat-ca-1";
  CHECK(runtime.run("ADD").status == 0);
  runtime.variables["CNI_ARGS"] = "";
  CHECK(runtime.run("ADD").status == 0);
}

TEST_CASE("an enrolled pod passes when the agent says that it is captured") {
  Runtime runtime;
  runtime.enrol(kShop);
  runtime.prev_result =
      R"({"cniVersion":"1.0.0","interfaces":[{"name":"veth1"},{"name":"eth0","sandbox":"/x"}],)"
      R"("ips":[{"address":"192.168.9.1/24","interface":0},{"address":"10.1.0.7/24","interface":1},{"address":"fd00::7/64"}]})";
  FakeAgent agent(runtime.folder.path, {kYes});
  const Outcome outcome = runtime.run("ADD");
  CHECK(outcome.status == 0);
  CHECK(outcome.out == runtime.prev_result + "\n");
  const auto heard = agent.stop();
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].command == "ADD");
  CHECK(heard[0].container == ContainerInterface{"c0ffee", "eth0"});
  CHECK(heard[0].pod_namespace == "shop");
  CHECK(heard[0].pod_name == "a");
  CHECK(heard[0].pod_uid == "uid-1");
  CHECK(heard[0].netns == "/dev/null");
  CHECK(heard[0].addresses == std::vector<std::string>{"10.1.0.7", "fd00::7"});
  CHECK(heard[0].wait_ms > 0);
  CHECK(heard[0].wait_ms <= 300);
}

// ---------------------------------------------------------------- what is held back

TEST_CASE("without an agent an enrolled pod is held back for the bounded time, and told why") {
  Runtime runtime;
  runtime.enrol(kShop);
  const auto begun = std::chrono::steady_clock::now();
  const Json error = error_of(runtime.run("ADD"));
  CHECK(std::chrono::steady_clock::now() - begun >= std::chrono::milliseconds(300));
  CHECK(error["code"] == 11);
  CHECK(error["cniVersion"] == "1.0.0");
  const std::string message = error["msg"];
  CHECK(message.contains("namespace shop is in the mesh"));
  CHECK(message.contains("did not answer within 300 ms"));
  CHECK(message.contains("cni.sock: No such file or directory"));
  CHECK(error["details"].get<std::string>().contains("leat-system"));
}

TEST_CASE("a missing or damaged file lets nobody pass but Leat's own pods: it can't be known who is STRICT") {
  Runtime runtime;
  CHECK(error_of(runtime.run("ADD"))["code"] == 11);
  std::ofstream(runtime.folder.path + "/" + kEnrolledFile) << save(kShop).substr(0, 20);
  const Json error = error_of(runtime.run("ADD"));
  CHECK(error["code"] == 11);
  CHECK(error["msg"].get<std::string>().contains("missing or damaged"));
  runtime.variables["CNI_ARGS"] = "K8S_POD_NAMESPACE=leat-system;K8S_POD_NAME=leat-ca-1";
  CHECK(runtime.run("ADD").status == 0);
}

TEST_CASE("an agent that dies over the question is asked again") {
  Runtime runtime;
  runtime.config["waitMs"] = 5000;
  runtime.enrol(kShop);
  FakeAgent agent(runtime.folder.path, {"", "garbage", kYes});
  CHECK(runtime.run("ADD").status == 0);
  CHECK(agent.stop().size() == 3);
}

TEST_CASE("an agent that takes the question and is silent is waited for no longer than said") {
  Runtime runtime;
  runtime.enrol(kShop);
  FakeAgent agent(runtime.folder.path, {});  // the backlog takes the connection
  const Json error = error_of(runtime.run("ADD"));
  CHECK(error["code"] == 11);
  CHECK(error["msg"].get<std::string>().contains("does not answer"));
}

TEST_CASE("what the agent refuses is refused with its code and words") {
  Runtime runtime;
  runtime.enrol(kShop);
  FakeAgent agent(
      runtime.folder.path,
      {encode(Reply{.code = Code::kTryAgainLater, .message = "pod shop/a is not captured: port 15008 is taken"})});
  const Json error = error_of(runtime.run("ADD"));
  CHECK(error["code"] == 11);
  CHECK(error["msg"] == "leat: pod shop/a is not captured: port 15008 is taken");
}

// ---------------------------------------------------------------- DEL, CHECK, GC, STATUS, VERSION

TEST_CASE("DEL never fails: no agent, no namespace, no input, nonsense, a version of the future, and again") {
  Runtime runtime;
  runtime.enrol(kShop);
  for (int time = 0; time < 3; ++time) {
    CHECK(runtime.run("DEL").status == 0);
    runtime.variables["CNI_NETNS"] = "";
    runtime.prev_result = "";
  }
  for (const char* text : {"", "{", "[]", R"({"cniVersion":"9.0.0","name":"pods"})", R"({"name":"//"})"}) {
    CAPTURE(text);
    const Outcome outcome = runtime.run_with(text);
    CHECK(outcome.status == 0);
    CHECK(outcome.out.empty());
  }
  runtime.variables["CNI_ARGS"] = "nonsense";
  runtime.variables["CNI_IFNAME"] = "far-too-long-for-an-interface";
  CHECK(runtime.run("DEL").status == 0);
}

TEST_CASE("DEL and GC tell the agent, and do not wait for it") {
  Runtime runtime;
  runtime.config["cniVersion"] = "1.1.0";
  runtime.config["cni.dev/valid-attachments"] = {{{"containerID", "c1"}, {"ifname", "eth0"}}};
  FakeAgent agent(runtime.folder.path, {"", ""});
  CHECK(runtime.run("DEL").out.empty());
  const Outcome gc = runtime.run("GC");
  CHECK(gc.status == 0);
  CHECK(gc.out.empty());
  const auto wait = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  std::vector<Request> heard;
  while (heard.size() < 2 && std::chrono::steady_clock::now() < wait) {
    poll(nullptr, 0, 10);
    heard = agent.stop();
  }
  REQUIRE(heard.size() == 2);
  CHECK(heard[0].command == "DEL");
  CHECK(heard[1].command == "GC");
  CHECK(heard[1].valid == std::vector<ContainerInterface>{{"c1", "eth0"}});
}

TEST_CASE("GC takes the older key of the list, too") {
  Runtime runtime;
  runtime.config["cniVersion"] = "1.1.0";
  runtime.config["cni.dev/attachments"] = {{{"containerID", "c2"}, {"ifname", "eth0"}}};
  FakeAgent agent(runtime.folder.path, {""});
  CHECK(runtime.run("GC").status == 0);
  CHECK(agent.stop()[0].valid == std::vector<ContainerInterface>{{"c2", "eth0"}});
}

TEST_CASE("CHECK asks the agent about pods of the mesh only") {
  Runtime runtime;
  runtime.enrol({});
  CHECK(runtime.run("CHECK").status == 0);
  runtime.enrol(kShop);
  FakeAgent agent(
      runtime.folder.path,
      {encode(Reply{.code = Code::kNotCaptured, .message = "pod shop/a is in the mesh and not captured"}), kYes});
  CHECK(error_of(runtime.run("CHECK"))["code"] == 100);
  CHECK(runtime.run("CHECK").status == 0);
}

TEST_CASE("STATUS is well without an agent, unless it was asked to need one") {
  Runtime runtime;
  runtime.config["cniVersion"] = "1.1.0";
  CHECK(runtime.run("STATUS").status == 0);
  runtime.config["statusNeedsAgent"] = true;
  CHECK(error_of(runtime.run("STATUS"))["code"] == 50);
  FakeAgent agent(runtime.folder.path, {kYes});
  CHECK(runtime.run("STATUS").status == 0);
}

TEST_CASE("CHECK, GC and STATUS are refused where the configuration is older than they are") {
  Runtime runtime;
  runtime.enrol(kShop);
  runtime.config["cniVersion"] = "0.3.1";
  CHECK(error_of(runtime.run("CHECK"))["code"] == 1);
  runtime.config["cniVersion"] = "1.0.0";
  CHECK(error_of(runtime.run("GC"))["code"] == 1);
  CHECK(error_of(runtime.run("STATUS"))["code"] == 1);
}

TEST_CASE("VERSION needs nothing but its name") {
  Runtime runtime;
  runtime.variables = {{"CNI_COMMAND", "VERSION"}};
  const Outcome outcome = runtime.run_with("");
  CHECK(outcome.status == 0);
  CHECK(Json::parse(outcome.out)["supportedVersions"] == Json{"0.3.1", "0.4.0", "1.0.0", "1.1.0"});
}

TEST_CASE("without a command it says what it is, and that is no failure") {
  Runtime runtime;
  runtime.variables = {};
  const Outcome outcome = runtime.run_with("");
  CHECK(outcome.status == 0);
  CHECK(outcome.out.empty());
  CHECK(outcome.log.contains("CNI protocol versions supported: 0.3.1, 0.4.0, 1.0.0, 1.1.0"));
}

// ---------------------------------------------------------------- validation

TEST_CASE("missing variables are listed, all of them") {
  Runtime runtime;
  runtime.variables = {{"CNI_COMMAND", "ADD"}, {"CNI_IFNAME", "eth0"}};
  const Json error = error_of(runtime.run_with(runtime.input()));
  CHECK(error["code"] == 4);
  CHECK(error["msg"] == "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_PATH] missing");
  runtime.variables = {{"CNI_COMMAND", "DEL"}};
  CHECK(error_of(runtime.run_with(runtime.input()))["msg"] ==
        "required env variables [CNI_CONTAINERID,CNI_IFNAME,CNI_PATH] missing");
  runtime.variables = {{"CNI_COMMAND", "GC"}};
  CHECK(error_of(runtime.run_with(runtime.input()))["msg"] == "required env variables [CNI_PATH] missing");
}

TEST_CASE("malformed variables and configurations have the reference implementation's codes") {
  struct Case {
    const char* variable;
    const char* value;
    const char* config_key;
    Json config_value;
    int code;
  };
  for (const Case& each : std::vector<Case>{{"CNI_CONTAINERID", "../etc", "", {}, 4},
                                            {"CNI_CONTAINERID", "-a", "", {}, 4},
                                            {"CNI_IFNAME", "sixteen-bytes-ab", "", {}, 4},
                                            {"CNI_IFNAME", "..", "", {}, 4},
                                            {"CNI_IFNAME", "a/b", "", {}, 4},
                                            {"CNI_IFNAME", "a:b", "", {}, 4},
                                            {"CNI_IFNAME", "a b", "", {}, 4},
                                            {"CNI_ARGS", "nonsense", "", {}, 4},
                                            {"CNI_COMMAND", "DANCE", "", {}, 4},
                                            {"CNI_NETNS", "/proc/self/ns/net", "", {}, 8},
                                            {"CNI_NETNS", "/nowhere/at/all", "", {}, 8},
                                            {"", "", "name", "", 7},
                                            {"", "", "name", "a/b", 7},
                                            {"", "", "cniVersion", "0.3.0", 1},
                                            {"", "", "cniVersion", "1.2.0", 1},
                                            {"", "", "cniVersion", "newest", 6},
                                            {"", "", "cniVersion", 1, 6},
                                            {"", "", "state", "relative", 7},
                                            {"", "", "waitMs", -1, 7},
                                            {"", "", "waitMs", 30001, 7},
                                            {"", "", "statusNeedsAgent", "yes", 7}}) {
    Runtime runtime;
    runtime.enrol({});
    if (*each.variable) runtime.variables[each.variable] = each.value;
    if (*each.config_key) runtime.config[each.config_key] = each.config_value;
    CAPTURE(each.variable);
    CAPTURE(each.value);
    CAPTURE(each.config_key);
    CHECK(error_of(runtime.run_with(runtime.input()))["code"] == each.code);
  }
}

TEST_CASE("a pod's own namespace must not be the plugin's, unless that is said to be meant") {
  Runtime runtime;
  runtime.enrol({});
  runtime.variables["CNI_NETNS"] = "/proc/self/ns/net";
  runtime.variables["CNI_NETNS_OVERRIDE"] = "1";
  CHECK(runtime.run("ADD").status == 0);
}

TEST_CASE("input that is no JSON is a decoding error") {
  Runtime runtime;
  for (const char* text : {"", "{", "[]", "null", R"({"name":"a","prevResult":5})"}) {
    CAPTURE(text);
    CHECK(error_of(runtime.run_with(text))["code"] == 6);
  }
}

TEST_CASE("without prevResult it is not chained, which is said") {
  Runtime runtime;
  runtime.enrol({});
  runtime.prev_result = "";
  CHECK(error_of(runtime.run("ADD"))["code"] == 7);
}

TEST_CASE("the result has the version that was asked for: changed within a family, refused across") {
  Runtime runtime;
  runtime.enrol({});
  runtime.config["cniVersion"] = "1.1.0";
  CHECK(runtime.run("ADD").out == R"({"cniVersion":"1.1.0","ips":[{"address":"10.1.0.7/24"}]})"
                                  "\n");
  runtime.config["cniVersion"] = "0.4.0";
  CHECK(error_of(runtime.run("ADD"))["code"] == 7);
  runtime.prev_result = R"({"ips":[]})";
  CHECK(runtime.run("ADD").out == R"({"cniVersion":"0.4.0","ips":[]})"
                                  "\n");
  runtime.prev_result = "{ }";
  CHECK(Json::parse(runtime.run("ADD").out) == Json{{"cniVersion", "0.4.0"}});
}

TEST_CASE("keys that nobody knows, and capabilities that an old runtime sends, are no error") {
  Runtime runtime;
  runtime.enrol({});
  runtime.config["capabilities"] = {{"portMappings", true}};
  runtime.config["runtimeConfig"] = {{"io.kubernetes.cri.pod-annotations", {{"a", "b"}}}};
  runtime.config["cni.dev/anything"] = 5;
  CHECK(runtime.run("ADD").status == 0);
}
