#include "control/pods.h"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "control/field.h"
#include "control/published_pods.h"

namespace leat::control {
namespace {

constexpr char kMeshLabel[] = "leat.dev/mesh";
constexpr std::string_view kAnnotationPrefix = "leat.dev/";
constexpr char kNetns[] = "leat.dev/netns";
constexpr char kOutboundPorts[] = "leat.dev/exclude-outbound-ports";
constexpr char kOutboundCidrs[] = "leat.dev/exclude-outbound-cidrs";
constexpr char kInboundPorts[] = "leat.dev/exclude-inbound-ports";
constexpr char kInboundCidrs[] = "leat.dev/exclude-inbound-cidrs";
constexpr std::array<std::string_view, 5> kPodAnnotations = {kNetns, kOutboundPorts, kOutboundCidrs, kInboundPorts,
                                                             kInboundCidrs};

std::string_view value_of(const Labels& labels, const char* name) {
  const auto found = labels.find(name);
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

bool is_running(const Pod& pod) { return pod.phase.empty() || pod.phase == "Running"; }

// A person must name the namespace there; where the objects come from a cluster, the agent looks for it.
bool is_from_file(const Pod& pod) { return !pod.meta.source.file.empty(); }

// Of two pods with one address the first in this order keeps it: what another node says yields, then a pod that goes
// away, then the younger one.
bool keeps_address_before(const Pod* left, const Pod* right) {
  const auto rank = [](const Pod& pod) {
    return std::tie(pod.published, pod.meta.terminating, pod.meta.created, pod.meta.source.file, pod.meta.source.line,
                    pod.meta.name);
  };
  return rank(*left) < rank(*right);
}

std::vector<std::string_view> split_list(std::string_view list) {
  std::vector<std::string_view> parts;
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view part = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const size_t first = part.find_first_not_of(' ');
    if (first == std::string_view::npos) continue;
    part.remove_prefix(first);
    part.remove_suffix(part.size() - 1 - part.find_last_not_of(' '));
    parts.push_back(part);
  }
  return parts;
}

template <typename Value>
std::vector<Value> read_list(const Pod& pod, const char* annotation, std::optional<Value> (*parse)(std::string_view),
                             const char* what, Findings& findings) {
  std::vector<Value> values;
  for (const std::string_view part : split_list(value_of(pod.meta.annotations, annotation))) {
    if (const auto value = parse(part)) {
      values.push_back(*value);
    } else {
      findings.push_back(finding_on(Severity::kError, pod, fmt::format("metadata.annotations[{}]", annotation),
                                    fmt::format("'{}' is not {}; it excludes nothing", part, what)));
    }
  }
  std::ranges::sort(values);
  const auto repeated = std::ranges::unique(values);
  values.erase(repeated.begin(), repeated.end());
  return values;
}

}  // namespace

std::string uid_of(const Pod& pod) { return pod.meta.uid.empty() ? pod.meta.name.text() : pod.meta.uid; }

Enrolment enrolment_of(const Pod& pod, const ObjectSet& objects) {
  const std::string& ns = pod.meta.name.ns;
  const auto* space = objects.find<Namespace>({"", ns});
  if (space == nullptr) return {false, fmt::format("there is no Namespace object {}", ns)};
  if (value_of(space->meta.labels, kMeshLabel) != "enabled")
    return {false, fmt::format("namespace {} has no label {}: enabled", ns, kMeshLabel)};
  if (value_of(pod.meta.labels, kMeshLabel) == "disabled")
    return {false, fmt::format("label {}: disabled on the pod", kMeshLabel)};
  if (pod.host_network) return {false, "hostNetwork: it has no network namespace of its own"};
  if (!is_running(pod)) return {false, fmt::format("phase {}", pod.phase)};
  if (pod.addresses.empty()) return {false, "no address yet"};
  if (pod.node.empty()) return {false, "not on a node yet"};
  if (pod.published) return {true, fmt::format("published by node {}", pod.node)};
  if (pod.netns_path.empty()) {
    return {false, is_from_file(pod) ? fmt::format("no annotation {}: its network namespace is not known", kNetns)
                                     : "its network namespace is not found: no entry of the folder has its address"};
  }
  return {true, fmt::format("label {}: enabled on namespace {}", kMeshLabel, ns)};
}

PodTable::PodTable(const ObjectSet& objects, const std::string& own_node, Findings& findings) {
  std::vector<const Pod*> candidates = published_pods(objects, own_node, findings);
  for (const auto& [name, pod] : objects.all<Pod>()) {
    if (!pod.host_network && is_running(pod) && !pod.addresses.empty()) candidates.push_back(&pod);
  }
  std::ranges::sort(candidates, keeps_address_before);

  std::unordered_map<IpAddress, const Pod*> owners;
  std::map<std::string, const Pod*> uids;
  for (const Pod* pod : candidates) {
    LivePod live{.pod = pod, .uid = uid_of(*pod)};
    if (const auto [first, added] = uids.emplace(live.uid, pod); !added) {
      findings.push_back(finding_on(
          Severity::kError, *pod, "metadata.uid",
          fmt::format("{} has it already; this pod is left out", describe(Pod::kKind, first->second->meta.name))));
      continue;
    }
    for (const IpAddress& address : pod->addresses) {
      if (const auto [owner, added] = owners.emplace(address, pod); added) {
        live.addresses.push_back(address);
      } else {
        findings.push_back(finding_on(Severity::kError, *pod, "status.podIP",
                                      fmt::format("{} has the address {} already and keeps it",
                                                  describe(Pod::kKind, owner->second->meta.name), address.text())));
      }
    }
    if (live.addresses.empty()) continue;
    live.captured = enrolment_of(*pod, objects).enrolled;
    pods_.push_back(std::move(live));
  }

  std::ranges::sort(pods_, {}, [](const LivePod& live) -> const Name& { return live.pod->meta.name; });
  for (size_t i = 0; i < pods_.size(); ++i) {
    for (const IpAddress& address : pods_[i].addresses) by_address_.emplace(address, i);
  }
}

std::span<const LivePod> PodTable::of_namespace(const std::string& ns) const {
  const auto range = std::ranges::equal_range(
      pods_, ns, {}, [](const LivePod& live) -> const std::string& { return live.pod->meta.name.ns; });
  return {range.begin(), range.end()};
}

const LivePod* PodTable::by_address(const IpAddress& address) const {
  const auto found = by_address_.find(address);
  return found == by_address_.end() ? nullptr : &pods_[found->second];
}

Exclusions read_exclusions(const Pod& pod, Findings& findings) {
  return {
      .outbound_ports = read_list(pod, kOutboundPorts, parse_port, "a port", findings),
      .outbound_cidrs = read_list(pod, kOutboundCidrs, Cidr::parse, "a CIDR like 10.0.0.0/8", findings),
      .inbound_ports = read_list(pod, kInboundPorts, parse_port, "a port", findings),
      .inbound_cidrs = read_list(pod, kInboundCidrs, Cidr::parse, "a CIDR like 10.0.0.0/8", findings),
  };
}

void check_markers(const ObjectSet& objects, Findings& findings) {
  const auto check_label = [&findings](const auto& object) {
    const std::string_view value = value_of(object.meta.labels, kMeshLabel);
    if (value.empty() || value == "enabled" || value == "disabled") return;
    findings.push_back(finding_on(Severity::kError, object, fmt::format("metadata.labels[{}]", kMeshLabel),
                                  fmt::format("must be enabled or disabled, not '{}'; ignored", value)));
  };
  for (const auto& [name, space] : objects.all<Namespace>()) check_label(space);

  std::set<std::string> missing_namespaces;
  std::set<std::string> missing_nodes;
  const bool nodes_given = !objects.all<Node>().empty();
  for (const auto& [name, pod] : objects.all<Pod>()) {
    check_label(pod);
    for (const auto& [annotation, value] : pod.meta.annotations) {
      if (!annotation.starts_with(kAnnotationPrefix) ||
          std::ranges::find(kPodAnnotations, annotation) != kPodAnnotations.end())
        continue;
      findings.push_back(finding_on(Severity::kWarning, pod, fmt::format("metadata.annotations[{}]", annotation),
                                    "unknown annotation, ignored"));
    }
    const auto* space = objects.find<Namespace>({"", name.ns});
    if (space == nullptr && missing_namespaces.insert(name.ns).second) {
      findings.push_back(
          finding_on(Severity::kWarning, pod, "metadata.namespace",
                     fmt::format("there is no Namespace object {}; its pods are not enrolled", name.ns)));
    }
    if (nodes_given && !pod.node.empty() && objects.find<Node>({"", pod.node}) == nullptr &&
        missing_nodes.insert(pod.node).second) {
      findings.push_back(
          finding_on(Severity::kWarning, pod, "spec.nodeName", fmt::format("there is no Node object {}", pod.node)));
    }
    if (space != nullptr && value_of(space->meta.labels, kMeshLabel) == "enabled" &&
        value_of(pod.meta.labels, kMeshLabel) != "disabled" && !pod.host_network && is_running(pod) &&
        !pod.addresses.empty() && pod.netns_path.empty() && is_from_file(pod)) {
      findings.push_back(finding_on(Severity::kError, pod, fmt::format("metadata.annotations[{}]", kNetns),
                                    "missing: without the path of its network namespace the pod can't be enrolled"));
    }
  }
}

}  // namespace leat::control
