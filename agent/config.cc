#include "agent/config.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace leat::agent {
namespace {

constexpr uid_t kMaxUid = 0xfffffffe;
constexpr std::array<std::string_view, 4> kLogLevels{"debug", "info", "warn", "error"};

// Reads the fields of one YAML map, and afterwards knows which ones nobody asked for.
class Fields {
 public:
  Fields(const YAML::Node& map, std::string prefix, std::string file, std::vector<std::string>& problems)
      : map_(map), prefix_(std::move(prefix)), file_(std::move(file)), problems_(problems) {}

  YAML::Node take(const std::string& field, const char* cure, bool required = true) {
    known_.push_back(field);
    const YAML::Node node = map_[field];
    if (!node && required) problem(map_, field, "is missing", cure);
    return node;
  }

  void text(const std::string& field, std::string& out, const char* cure, bool required = true) {
    const YAML::Node node = take(field, cure, required);
    if (!node) return;
    if (!node.IsScalar() || node.Scalar().empty()) return problem(node, field, "is not a text", cure);
    out = node.Scalar();
  }

  void folder(const std::string& field, std::string& out, const char* cure, bool required = true) {
    std::string path;
    text(field, path, cure, required);
    if (path.empty()) return;
    if (path.front() != '/') return problem(map_[field], field, "is not an absolute path", cure);
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    out = path;
  }

  void problem(const YAML::Node& where, const std::string& field, std::string_view what, std::string_view cure) {
    problems_.push_back(fmt::format("{}:{}: {}{} {}: {}", file_, where.Mark().line + 1, prefix_, field, what, cure));
  }

  void refuse_the_rest() {
    for (const auto& entry : map_) {
      const std::string field = entry.first.IsScalar() ? entry.first.Scalar() : "?";
      if (std::ranges::find(known_, field) != known_.end()) continue;
      problem(entry.first, field, "is not a setting", fmt::format("remove it; known are {}", fmt::join(known_, ", ")));
    }
  }

 private:
  YAML::Node map_;
  std::string prefix_;
  std::string file_;
  std::vector<std::string>& problems_;
  std::vector<std::string> known_;
};

void read_proxy_user(Fields& fields, uid_t& out) {
  constexpr const char* kCure = "give the numeric user id that leat-proxy runs as, not 0, such as 61001";
  const YAML::Node node = fields.take("proxy_user", kCure);
  if (!node) return;
  uint64_t uid = 0;
  if (!YAML::convert<uint64_t>::decode(node, uid) || uid == 0 || uid > kMaxUid) {
    return fields.problem(node, "proxy_user", "is not the id of an unprivileged user", kCure);
  }
  out = static_cast<uid_t>(uid);
}

void read_cgroups(Fields& fields, Config& config, const std::string& file, std::vector<std::string>& problems) {
  constexpr const char* kCure =
      "give {pods: PATH, agent: PATH, kubelet: PATH}, folders of one cgroup2 hierarchy; kubelet may be left out";
  const YAML::Node node = fields.take("cgroups", kCure);
  if (!node) return;
  if (!node.IsMap()) return fields.problem(node, "cgroups", "is not a map", kCure);
  Fields inner(node, "cgroups.", file, problems);
  inner.folder("pods", config.pods_cgroup, "give the cgroup2 folder that holds all pods");
  inner.folder("agent", config.agent_cgroup, "give the cgroup2 folder that this agent runs in");
  inner.folder("kubelet", config.kubelet_cgroup, "give the cgroup2 folder of the kubelet, or leave it out", false);
  inner.refuse_the_rest();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// As the kubelet tells every pod.
std::vector<std::string> servers_in_environment() {
  const std::string host = environment("KUBERNETES_SERVICE_HOST"), port = environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) return {};
  const bool ipv6 = host.find(':') != std::string::npos;
  return {fmt::format("https://{}{}{}:{}", ipv6 ? "[" : "", host, ipv6 ? "]" : "", port)};
}

void read_servers(Fields& fields, std::vector<std::string>& servers) {
  constexpr const char* kCure = "give [https://HOST:PORT, …], or leave it out in a pod";
  servers = servers_in_environment();
  const YAML::Node node = fields.take("servers", kCure, servers.empty());
  if (!node) return;
  servers.clear();
  if (!node.IsSequence()) return fields.problem(node, "servers", "is not a list", kCure);
  for (const auto& entry : node) {
    std::string url = entry.IsScalar() ? entry.Scalar() : "";
    while (url.ends_with('/')) url.pop_back();
    if (!url.starts_with("https://") || url.size() == 8) {
      fields.problem(entry, "servers", fmt::format("holds `{}`", url), kCure);
    } else {
      servers.push_back(std::move(url));
    }
  }
}

void read_kubernetes(const YAML::Node& node, Fields& fields, Kubernetes& out, const std::string& file,
                     std::vector<std::string>& problems) {
  if (!node.IsMap() && !node.IsNull())
    return fields.problem(node, "kubernetes", "is not a map",
                          "give {servers: […], token: FILE, ca: FILE, netns: PATH}");
  Fields inner(node, "kubernetes.", file, problems);
  read_servers(inner, out.servers);
  inner.folder("token", out.token, "give the file of the bearer token, or leave it out in a pod", false);
  inner.folder("ca", out.ca, "give the file of the API server's CA, or leave it out in a pod", false);
  inner.folder("netns", out.netns, "give the folder of the pods' network namespaces, such as /run/netns", false);
  if (node.IsMap()) inner.refuse_the_rest();
}

// One of the two.
void read_source(Fields& fields, const YAML::Node& root, Config& config, const std::string& file,
                 std::vector<std::string>& problems) {
  const YAML::Node kubernetes = fields.take("kubernetes", "", false);
  fields.folder("objects", config.objects, "give the folder of the Kubernetes YAML files, or kubernetes: {}",
                !kubernetes.IsDefined());
  if (!kubernetes.IsDefined()) return;
  if (root["objects"])
    fields.problem(kubernetes, "kubernetes", "stands beside objects", "remove one: objects come from one place");
  read_kubernetes(kubernetes, fields, config.kubernetes, file, problems);
}

}  // namespace

Result<Config> parse_config(std::string_view yaml, const std::string& file) {
  YAML::Node root;
  try {
    root = YAML::Load(std::string(yaml));
  } catch (const YAML::Exception& error) {  // the only way that yaml-cpp reports
    return fail(ErrorCode::kInvalid, "{}:{}: is not YAML: {}", file, error.mark.line + 1, error.msg);
  }
  if (!root.IsMap()) return fail(ErrorCode::kInvalid, "{}:1: is not a map of settings; begin with `node: NAME`", file);

  Config config;
  std::vector<std::string> problems;
  Fields fields(root, "", file, problems);
  const YAML::Node& constant = root;  // the other operator[] would insert
  if (constant["kubernetes"]) config.node = environment("NODE_NAME");
  fields.text("node", config.node, "give the name of this machine's Node object", config.node.empty());
  read_source(fields, root, config, file, problems);
  fields.folder("state", config.state, "give a folder that survives restarts, such as /var/lib/leat");
  fields.folder("ca", config.ca, "give the folder of the mesh's root key, shared by the nodes");
  fields.folder("bpffs", config.bpffs, "give a folder on a mounted bpffs, such as /sys/fs/bpf/leat");
  read_cgroups(fields, config, file, problems);
  read_proxy_user(fields, config.proxy_user);
  fields.text("log", config.log, "give debug, info, warn or error", false);
  if (std::ranges::find(kLogLevels, config.log) == kLogLevels.end()) {
    fields.problem(root["log"], "log", fmt::format("is `{}`", config.log), "give debug, info, warn or error");
  }
  fields.refuse_the_rest();

  if (!problems.empty()) return fail(ErrorCode::kInvalid, "{}", fmt::join(problems, "\n"));
  return config;
}

Result<Config> load_config(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return fail_errno(errno, "opening the configuration {}", file);
  const std::string yaml(std::istreambuf_iterator<char>(stream), {});
  return parse_config(yaml, file);
}

}  // namespace leat::agent
