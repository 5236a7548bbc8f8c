#include "agent/config.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <vector>

#include <yaml-cpp/yaml.h>

#include "agent/node_cgroups.h"
#include "common/ip.h"
#include "common/kubernetes/api_client.h"

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

  void boolean(const std::string& field, bool& out, const char* cure) {
    const YAML::Node node = take(field, cure, false);
    if (node && !YAML::convert<bool>::decode(node, out)) problem(node, field, "is not true or false", cure);
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

void read_cgroups(Fields& fields, bool in_cluster, Config& config, const std::string& file,
                  std::vector<std::string>& problems) {
  constexpr const char* kCure =
      "give {pods: PATH, agent: PATH, kubelet: PATH}, folders of one cgroup2 hierarchy; kubelet may be left out";
  const YAML::Node node = fields.take("cgroups", kCure, !in_cluster);
  if (!node && in_cluster) {
    const auto found = find_node_cgroups();
    if (!found) return problems.push_back(fmt::format("{}:1: cgroups: {}; {}", file, found.error().message, kCure));
    config.pods_cgroup = config.agent_cgroup = found->pods;  // the agent is in a pod itself
    config.kubelet_cgroup = found->kubelet;
    return;
  }
  if (!node) return;
  if (!node.IsMap()) return fields.problem(node, "cgroups", "is not a map", kCure);
  Fields inner(node, "cgroups.", file, problems);
  inner.folder("pods", config.pods_cgroup, "give the cgroup2 folder that holds all pods");
  inner.folder("agent", config.agent_cgroup, "give the cgroup2 folder that this agent runs in", !in_cluster);
  if (config.agent_cgroup.empty()) config.agent_cgroup = config.pods_cgroup;
  inner.folder("kubelet", config.kubelet_cgroup, "give the cgroup2 folder of the kubelet, or leave it out", false);
  inner.refuse_the_rest();
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

void read_servers(Fields& fields, std::vector<std::string>& servers) {
  constexpr const char* kCure = "give [https://HOST:PORT, …], or leave it out in a pod";
  servers = kubernetes::servers_of_pod().urls;
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

void read_name(Fields& fields, const char* field, const char* cure, control::Name& out) {
  std::string text;
  fields.text(field, text, cure, false);
  if (text.empty()) return;
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == text.size() ||
      text.find('/', slash + 1) != std::string::npos)
    return fields.problem(fields.take(field, cure), field, fmt::format("is `{}`", text), cure);
  out = {text.substr(0, slash), text.substr(slash + 1)};
}

void read_kubernetes(const YAML::Node& node, Fields& fields, Kubernetes& out, const std::string& file,
                     std::vector<std::string>& problems) {
  if (!node.IsMap() && !node.IsNull())
    return fields.problem(
        node, "kubernetes", "is not a map",
        "give {servers: […], token: FILE, ca: FILE, netns: PATH, daemonSet: NAMESPACE/NAME, lease: NAMESPACE/NAME}");
  Fields inner(node, "kubernetes.", file, problems);
  read_servers(inner, out.servers);
  inner.folder("token", out.token, "give the file of the bearer token, or leave it out in a pod", false);
  inner.folder("ca", out.ca, "give the file of the API server's CA, or leave it out in a pod", false);
  read_name(inner, "daemonSet", "give NAMESPACE/NAME of the DaemonSet that runs this agent, or leave it out",
            out.daemon_set);
  out.lease = {environment("POD_NAMESPACE"), "leat-agent"};
  read_name(inner, "lease", "give NAMESPACE/NAME of the Lease by which one agent leads, or leave it out in a pod",
            out.lease);
  inner.folder("netns", out.netns, "give the folder of the pods' network namespaces, such as /run/netns", false);
  if (node.IsMap()) inner.refuse_the_rest();
}

void read_install(Fields& fields, Cni& out) {
  constexpr const char* kCure = "give append, own-file or drop-in";
  const YAML::Node node = fields.take("install", kCure, false);
  if (!node) return;
  const std::string mode = node.IsScalar() ? node.Scalar() : "";
  if (mode == "append") {
    out.install = Cni::Install::kAppend;
  } else if (mode == "own-file") {
    out.install = Cni::Install::kOwnFile;
  } else if (mode == "drop-in") {
    out.install = Cni::Install::kDropIn;
  } else {
    fields.problem(node, "install", fmt::format("is `{}`", mode), kCure);
  }
}

void read_cni(const YAML::Node& node, Fields& fields, Config& config, const std::string& file,
              std::vector<std::string>& problems) {
  if (!node.IsDefined()) return;
  Cni& out = config.cni.emplace();
  out.netns = config.kubernetes.netns;
  out.own_namespace = environment("POD_NAMESPACE");
  if (!node.IsMap() && !node.IsNull())
    return fields.problem(node, "cni", "is not a map", "give {conf: PATH, bin: PATH}, or {} where others install it");
  Fields inner(node, "cni.", file, problems);
  inner.folder("netns", out.netns, "give the folder of the pods' network namespaces, such as /run/netns", false);
  inner.folder("conf", out.conf, "give the host's folder of CNI configurations, such as /etc/cni/net.d", false);
  inner.folder("bin", out.bin, "give the host's folder of CNI plugins, such as /opt/cni/bin", !out.conf.empty());
  inner.folder("binary", out.binary, "give the file of leat-cni that is copied to cni.bin", false);
  inner.folder("host_state", out.host_state, "give the path that `state` has on the host", false);
  inner.text("own_namespace", out.own_namespace, "give the namespace of Leat's own pods", false);
  read_install(inner, out);
  constexpr const char* kWaitCure = "give milliseconds, 100 to 30000; the kubelet tries again after 12 s or so";
  if (const YAML::Node wait = inner.take("wait_ms", kWaitCure, false)) {
    uint64_t ms = 0;
    if (!YAML::convert<uint64_t>::decode(wait, ms) || ms < 100 || ms > 30'000)
      inner.problem(wait, "wait_ms", "is no such time", kWaitCure);
    out.wait = std::chrono::milliseconds(ms);
  }
  if (node.IsMap()) inner.refuse_the_rest();
}

// One of the two.
void read_ca(Fields& fields, const YAML::Node& root, Config& config, const std::string& file,
             std::vector<std::string>& problems) {
  constexpr const char* kCure = "give {address: HOST:PORT, root: FILE, token: FILE}, or ca: FOLDER instead";
  const YAML::Node remote = fields.take("certificate_authority", "", false);
  fields.folder("ca", config.ca,
                "give the folder of the mesh's root key, shared by the nodes, or certificate_authority",
                !remote.IsDefined());
  if (!remote.IsDefined()) return;
  if (root["ca"])
    fields.problem(remote, "certificate_authority", "stands beside ca", "remove one: certificates come from one place");
  if (!remote.IsMap()) return fields.problem(remote, "certificate_authority", "is not a map", kCure);
  Fields inner(remote, "certificate_authority.", file, problems);
  inner.text("address", config.remote_ca.address, "give HOST:PORT of leat-ca, istiod or istio-csr");
  const std::string& address = config.remote_ca.address;
  const size_t colon = address.rfind(':');
  if (!address.empty() && (colon == std::string::npos || colon == 0 || colon + 1 == address.size() ||
                           address.find_first_not_of("0123456789", colon + 1) != std::string::npos)) {
    inner.problem(remote["address"], "address", fmt::format("is `{}`", address), "give HOST:PORT");
  }
  inner.text("server_name", config.remote_ca.server_name, "give the name that its certificate has, or leave it out",
             false);
  inner.folder("root", config.remote_ca.root_file, "give the file of the CA's roots, PEM");
  inner.folder("token", config.remote_ca.token_file, "give the file of a token for the CA, or leave it out", false);
  inner.refuse_the_rest();
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

void read_dns(Fields& fields, std::vector<std::string>& servers, const std::string& file,
              std::vector<std::string>& problems) {
  constexpr const char* kCure = "give {servers: [ADDRESS or ADDRESS:PORT, …]}, or leave it out: the node's are asked";
  const YAML::Node node = fields.take("dns", kCure, false);
  if (!node) return;
  if (!node.IsMap()) return fields.problem(node, "dns", "is not a map", kCure);
  Fields inner(node, "dns.", file, problems);
  const YAML::Node list = inner.take("servers", kCure);
  inner.refuse_the_rest();
  if (!list) return;
  if (!list.IsSequence()) return inner.problem(list, "servers", "is not a list", kCure);
  for (const auto& entry : list) {
    const std::string text = entry.IsScalar() ? entry.Scalar() : "";
    if (!IpAddress::parse(text) && !SocketAddress::parse(text))
      inner.problem(entry, "servers", fmt::format("holds `{}`", text), kCure);
    servers.push_back(text);
  }
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
  read_ca(fields, root, config, file, problems);
  fields.folder("bpffs", config.bpffs, "give a folder on a mounted bpffs, such as /sys/fs/bpf/leat");
  read_cgroups(fields, constant["kubernetes"].IsDefined(), config, file, problems);
  read_proxy_user(fields, config.proxy_user);
  fields.folder("proxy_seccomp", config.proxy_seccomp,
                "give the kubelet's file of the proxy's profile, or leave it out", false);
  read_cni(fields.take("cni", "", false), fields, config, file, problems);
  read_dns(fields, config.dns_servers, file, problems);
  fields.folder("tls_files", config.tls_files, "give the folder of certificates that DestinationRules may name", false);
  fields.boolean("ambient_label", config.ambient_label,
                 "give true where the labels of Istio's ambient mode count as well, or leave it out");
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
