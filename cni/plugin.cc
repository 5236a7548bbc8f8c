#include "cni/plugin.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include <nlohmann/json.hpp>

#include "cni/agent_link.h"
#include "cni/network_config.h"
#include "common/enrolled_namespaces.h"
#include "common/unique_fd.h"

namespace leat::cni {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kNewest = kVersions.back();

std::string print(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::string list_versions(const char* between) {
  std::string list;
  for (const std::string_view version : kVersions) list += (list.empty() ? "" : between) + std::string(version);
  return list;
}

Outcome failed(const Error& error, std::string_view version) {
  Json json{{"cniVersion", version}, {"code", static_cast<uint32_t>(error.code)}, {"msg", error.message}};
  if (!error.details.empty()) json["details"] = error.details;
  return {.status = 1, .out = print(json), .log = {}};
}

// One call, from here on with a configuration that can be trusted to be one.
class Call {
 public:
  Call(const Environment& environment, const NetworkConfig& config) : environment_(environment), config_(config) {}

  Expected<std::string> add();
  void del();
  Expected<void> check();
  void gc();
  Expected<void> status();
  [[nodiscard]] const std::string& log() const { return log_; }

 private:
  enum class Membership : uint8_t { kOutside, kEnrolled, kUnknown };

  [[nodiscard]] std::string socket_path() const { return config_.state + "/" + kSocketFile; }
  [[nodiscard]] std::string pod_name() const { return environment_.pod_namespace + "/" + environment_.pod_name; }
  [[nodiscard]] Request request() const;
  Membership membership();
  Expected<UniqueFd> open_netns() const;
  Expected<void> ask(Membership membership, int netns);
  void note(const std::string& line) { log_ += "leat-cni: " + line + "\n"; }

  const Environment& environment_;
  const NetworkConfig& config_;
  std::string log_;
};

Request Call::request() const {
  return {.command = environment_.command,
          .container = {environment_.container_id, environment_.ifname},
          .netns = environment_.netns,
          .pod_namespace = environment_.pod_namespace,
          .pod_name = environment_.pod_name,
          .pod_uid = environment_.pod_uid,
          .addresses = config_.addresses,
          .wait_ms = 0,
          .valid = config_.valid};
}

// Without asking anybody. Pods outside the mesh must not depend on an agent that runs; those inside must not pass for
// want of one.
Call::Membership Call::membership() {
  if (environment_.pod_namespace.empty()) {
    note("not a pod of Kubernetes (CNI_ARGS has no K8S_POD_NAMESPACE): passes");
    return Membership::kOutside;
  }
  if (environment_.pod_namespace == config_.own_namespace) return Membership::kOutside;
  const std::string path = config_.state + "/" + kEnrolledFile;
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const auto enrolled = load_enrolled_namespaces(text);
  if (!file.is_open() || !enrolled) {
    note(path + (file.is_open() ? " can't be read as what it should be" : " is not there") + ": whether " +
         environment_.pod_namespace + " is in the mesh is the agent's to say");
    return Membership::kUnknown;
  }
  return enrolled->contains(environment_.pod_namespace) ? Membership::kEnrolled : Membership::kOutside;
}

Expected<UniqueFd> Call::open_netns() const {
  UniqueFd netns(open(environment_.netns.c_str(), O_RDONLY | O_CLOEXEC));
  if (!netns)
    return refuse(Code::kInvalidNetns, "opening CNI_NETNS " + environment_.netns + ": " + std::strerror(errno));
  struct stat there{}, here{};
  const bool own = fstat(netns.get(), &there) == 0 && stat("/proc/self/ns/net", &here) == 0 &&
                   there.st_ino == here.st_ino && there.st_dev == here.st_dev;
  if (own && !environment_.netns_may_be_own)
    return refuse(Code::kInvalidNetns, "plugin's netns and netns from CNI_NETNS should not be the same");
  return netns;
}

// The sentence is what `kubectl describe pod` shows.
Expected<void> Call::ask(Membership membership, int netns) {
  const Answer answer = ask_agent(socket_path(), request(), netns, config_.wait);
  if (answer.reply && answer.reply->code == Code::kOk) return {};
  if (answer.reply) return refuse(answer.reply->code, "leat: " + answer.reply->message);
  const std::string& space = environment_.pod_namespace;
  const std::string why = membership == Membership::kEnrolled
                              ? "namespace " + space + " is in the mesh"
                              : config_.state + "/" + kEnrolledFile + " is missing or damaged, so that namespace " +
                                    space + " may be in the mesh";
  return refuse(
      Code::kTryAgainLater,
      "leat: " + why + ", and leat-agent on this node did not answer within " + std::to_string(config_.wait.count()) +
          " ms (" + answer.failure + ")",
      "pod " + pod_name() +
          " is held back so that its first connection is not outside the mesh; the kubelet tries again by itself. "
          "Look at the leat-agent pod of this node" +
          (config_.own_namespace.empty() ? "" : " in namespace " + config_.own_namespace));
}

Expected<std::string> Call::add() {
  if (!config_.prev_result)
    return refuse(Code::kInvalidConfig,
                  "leat-cni has no prevResult: it must stand behind the plugin that gives pods their network",
                  "put it last in the list of plugins; leat-agent does that by itself");
  const Expected<std::string> result = chained_result(config_);
  if (!result) return result;
  const Expected<UniqueFd> netns = open_netns();
  if (!netns) return std::unexpected(netns.error());
  if (const Membership found = membership(); found != Membership::kOutside) {
    if (const auto captured = ask(found, netns->get()); !captured) return std::unexpected(captured.error());
  }
  return *result + "\n";
}

void Call::del() {
  if (!tell_agent(socket_path(), request())) note("leat-agent is away; it sees by itself that the pod is gone");
}

Expected<void> Call::check() {
  const Expected<UniqueFd> netns = open_netns();
  if (!netns) return std::unexpected(netns.error());
  const Membership found = membership();
  return found == Membership::kOutside ? Expected<void>() : ask(found, netns->get());
}

void Call::gc() {
  if (!tell_agent(socket_path(), request())) note("leat-agent is away; it sees by itself which pods are gone");
}

Expected<void> Call::status() {
  if (!config_.status_needs_agent) return {};
  const Answer answer = ask_agent(socket_path(), request(), -1, config_.wait);
  if (answer.reply && answer.reply->code == Code::kOk) return {};
  return refuse(Code::kPluginNotAvailable, "leat-agent on this node does not answer: pods of the mesh can't be started",
                answer.reply ? answer.reply->message : answer.failure);
}

Error version_error(const NetworkConfig& config) {
  return {Code::kIncompatibleVersion, "incompatible CNI versions",
          "config is '" + config.cni_version + "', plugin supports " + list_versions(", ")};
}

// CHECK, GC and STATUS came later than the configuration may be.
Expected<void> check_version(const std::string& command, const NetworkConfig& config) {
  const std::string_view floor = command == "CHECK" ? "0.4.0" : command == "ADD" ? "0.0.0" : "1.1.0";
  const Expected<bool> new_enough = is_at_least(config.cni_version, floor);
  if (!new_enough) return std::unexpected(new_enough.error());
  if (!*new_enough) return refuse(Code::kIncompatibleVersion, "config version does not allow " + command);
  if (!is_supported(config.cni_version)) return std::unexpected(version_error(config));
  return {};
}

Outcome version() {
  return {.status = 0, .out = print({{"cniVersion", kNewest}, {"supportedVersions", kVersions}}), .log = {}};
}

// A DEL that fails is tried again for ever, and its pod stays Terminating as long: whatever the input is, the agent is
// told what can be understood of it.
Outcome del(const Environment& environment, const Expected<std::string>& input) {
  NetworkConfig config;
  if (auto read = input ? read_network_config(*input) : std::unexpected(input.error())) config = std::move(*read);
  Call call(environment, config);
  call.del();
  return {.status = 0, .out = {}, .log = call.log()};
}

}  // namespace

Outcome run_plugin(const GetVariable& get, const std::function<Expected<std::string>()>& read_input) {
  const Expected<Environment> environment = read_environment(get);
  if (!environment && get("CNI_COMMAND").empty())
    return {.status = 0,
            .out = {},
            .log = "leat-cni " LEAT_VERSION
                   ": has leat-agent capture a pod before its first program starts\n"
                   "CNI protocol versions supported: " +
                   list_versions(", ") + "\n"};
  if (!environment) return failed(environment.error(), kNewest);
  const std::string& command = environment->command;
  if (command == "VERSION") return version();
  const Expected<std::string> input = read_input();
  if (command == "DEL") return del(*environment, input);
  if (!input) return failed(input.error(), kNewest);
  const Expected<NetworkConfig> config = read_network_config(*input);
  if (!config) return failed(config.error(), kNewest);
  const std::string_view answer_version = is_supported(config->cni_version) ? config->cni_version : kNewest;
  if (command != "ADD" && command != "CHECK" && command != "GC" && command != "STATUS")
    return failed({Code::kInvalidEnvironment, "unknown CNI_COMMAND: " + command, ""}, answer_version);
  if (const auto good = check_version(command, *config); !good) return failed(good.error(), answer_version);

  Call call(*environment, *config);
  Expected<std::string> output;
  if (command == "ADD") output = call.add();
  if (command == "GC") call.gc();
  if (command == "CHECK" || command == "STATUS") {
    if (const auto done = command == "CHECK" ? call.check() : call.status(); !done)
      output = std::unexpected(done.error());
  }
  Outcome outcome = output ? Outcome{.status = 0, .out = *output, .log = {}} : failed(output.error(), answer_version);
  outcome.log = call.log();
  return outcome;
}

}  // namespace leat::cni
