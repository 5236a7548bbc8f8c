#include "cli/preflight.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/kubectl.h"
#include "cli/object_json.h"

namespace leat::cli {
namespace {

using nlohmann::json;

v1::CheckItem row(std::string_view area, std::string_view status, std::string text, std::string cure = {}) {
  v1::CheckItem item;
  item.set_area(std::string(area));
  item.set_status(std::string(status));
  item.set_text(std::move(text));
  item.set_cure(std::move(cure));
  return item;
}

Result<json> items_of(std::string_view text, std::string_view what) {
  json list = json::parse(text, nullptr, false);
  if (!list.is_object() || !list.contains("items") || !list["items"].is_array())
    return fail(ErrorCode::kProtocol, "kubectl printed no list of {}", what);
  return std::move(list["items"]);
}

// The first two numbers of "6.1.0-18-amd64" or "v1.32.1+k3s1".
std::optional<std::pair<int, int>> version_of(std::string_view text) {
  if (text.starts_with('v')) text.remove_prefix(1);
  std::pair<int, int> version;
  const char* const end = text.data() + text.size();
  const auto [dot, no_major] = std::from_chars(text.data(), end, version.first);
  if (no_major != std::errc() || dot == end || *dot != '.') return std::nullopt;
  if (std::from_chars(dot + 1, end, version.second).ec != std::errc()) return std::nullopt;
  return version;
}

bool is_at_least(std::string_view text, const int (&least)[2]) {
  const auto version = version_of(text);
  return version && *version >= std::pair(least[0], least[1]);
}

struct Neighbour {
  std::string_view daemon_set, text, cure;
};
constexpr std::array kNeighbours{
    Neighbour{"ztunnel", "Istio's ambient mesh runs here",
              "a pod belongs to one mesh: label only namespaces that the other one leaves alone"},
    Neighbour{"istio-cni-node", "Istio's CNI plugin runs here",
              "a pod belongs to one mesh: label only namespaces that the other one leaves alone"},
    Neighbour{"linkerd-cni", "Linkerd's CNI plugin runs here",
              "a pod belongs to one mesh: label only namespaces that the other one leaves alone"},
    Neighbour{"kmesh", "Kmesh runs here", "it attaches to the same hooks: uninstall it first"},
    Neighbour{
        "cilium", "Cilium runs here",
        "if it balances Services at the socket, set its value socketLB.hostNamespaceOnly to true: else it chooses "
        "a pod before Leat sees the Service"},
};

// What whoever installs has to be allowed to do.
constexpr std::array kNeeded{std::pair{"create", "daemonsets.apps"},
                             std::pair{"create", "clusterroles.rbac.authorization.k8s.io"},
                             std::pair{"create", "customresourcedefinitions.apiextensions.k8s.io"},
                             std::pair{"create", "validatingadmissionpolicies.admissionregistration.k8s.io"}};

}  // namespace

Result<std::vector<v1::CheckItem>> check_nodes(std::string_view text) {
  LEAT_TRY(const json nodes, items_of(text, "nodes"));
  std::vector<v1::CheckItem> rows;
  for (const json& node : nodes) {
    const std::string name = text_at(node, "/metadata/name");
    const std::string system = text_at(node, "/status/nodeInfo/operatingSystem");
    if (system != "linux") {
      rows.push_back(
          row("node", "warn", fmt::format("{}: {}", name, system), "Leat leaves it alone: it runs on Linux"));
      continue;
    }
    const std::string kernel = text_at(node, "/status/nodeInfo/kernelVersion");
    const std::string kubelet = text_at(node, "/status/nodeInfo/kubeletVersion");
    const std::string words = fmt::format("{}: kernel {}, kubelet {}, {}, {}", name, kernel, kubelet,
                                          text_at(node, "/status/nodeInfo/containerRuntimeVersion"),
                                          text_at(node, "/status/nodeInfo/architecture"));
    if (!is_at_least(kernel, kLeastKernel)) {
      rows.push_back(row("node", "fail", words,
                         fmt::format("its kernel is too old: {}.{} is the least", kLeastKernel[0], kLeastKernel[1])));
    } else if (!is_at_least(kubelet, kLeastKubernetes)) {
      rows.push_back(
          row("node", "fail", words,
              fmt::format("its kubelet is too old: {}.{} is the least", kLeastKubernetes[0], kLeastKubernetes[1])));
    } else if (!is_ready(node)) {
      rows.push_back(row("node", "warn", words, "it is not ready; see kubectl describe node"));
    } else {
      rows.push_back(row("node", "ok", words));
    }
  }
  if (rows.empty()) rows.push_back(row("node", "fail", "the cluster has no node", "join one"));
  return rows;
}

Result<std::vector<v1::CheckItem>> check_neighbours(std::string_view text) {
  LEAT_TRY(const json sets, items_of(text, "DaemonSets"));
  std::vector<v1::CheckItem> rows;
  for (const json& set : sets) {
    const std::string name = text_at(set, "/metadata/name");
    const auto known = std::ranges::find(kNeighbours, name, &Neighbour::daemon_set);
    if (known == kNeighbours.end()) continue;
    rows.push_back(row("others", "warn",
                       fmt::format("{}: DaemonSet {}/{}", known->text, text_at(set, "/metadata/namespace"), name),
                       std::string(known->cure)));
  }
  if (rows.empty()) rows.push_back(row("others", "ok", "no other mesh that is known takes pods' connections"));
  return rows;
}

Result<std::vector<v1::CheckItem>> preflight(const ClusterTarget& target) {
  LEAT_TRY(const std::string nodes, run_kubectl(target, {"get", "nodes", "-o", "json"}));
  LEAT_TRY(std::vector<v1::CheckItem> rows, check_nodes(nodes));
  LEAT_TRY(const std::string sets, run_kubectl(target, {"get", "daemonsets", "-A", "-o", "json"}));
  LEAT_TRY(std::vector<v1::CheckItem> others, check_neighbours(sets));
  rows.insert(rows.end(), others.begin(), others.end());
  for (const auto& [verb, resource] : kNeeded) {
    const std::string words = fmt::format("{} {}", verb, resource);
    const auto allowed = run_kubectl(target, {"auth", "can-i", verb, resource, "-n", target.ns});  // no: it exits 1
    rows.push_back(allowed ? row("rights", "ok", fmt::format("you may {}", words))
                           : row("rights", "fail", fmt::format("you may not {}", words),
                                 "the chart needs it: install as an administrator of the cluster"));
  }
  return rows;
}

}  // namespace leat::cli
