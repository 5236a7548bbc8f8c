#include "control/locality.h"

#include <algorithm>
#include <map>
#include <vector>

namespace leat::control {
namespace {

constexpr char kRegionLabel[] = "topology.kubernetes.io/region";
constexpr char kZoneLabel[] = "topology.kubernetes.io/zone";
constexpr char kSubzoneLabel[] = "topology.istio.io/subzone";
constexpr char kHostnameLabel[] = "kubernetes.io/hostname";
// One mesh, one cluster: all endpoints have these in common.
constexpr std::string_view kCommonLabels[] = {"topology.istio.io/network", "topology.istio.io/cluster"};
constexpr uint32_t kNoGroup = 0xffffffff;

std::string label(const Labels& labels, const char* name) {
  const auto found = labels.find(name);
  return found == labels.end() ? "" : found->second;
}

std::string node_of(const ServiceEndpoint& endpoint) {
  return endpoint.pod != nullptr ? endpoint.pod->pod->node : endpoint.node;
}

bool has_pod_label(const ServiceEndpoint& endpoint, const std::string& name, const std::string& value) {
  if (endpoint.pod == nullptr) return false;
  const auto& labels = endpoint.pod->pod->meta.labels;
  const auto found = labels.find(name);
  return found != labels.end() && found->second == value;
}

// What one entry of failoverPriority says of an endpoint.
bool matches(const std::string& entry, const ServiceEndpoint& endpoint, const Places& places) {
  const LocalityName there = places.of(endpoint);
  const size_t equals = entry.find('=');
  const std::string name = entry.substr(0, equals);
  const auto is = [&](const std::string& value, const std::string& own) {
    return value == (equals == std::string::npos ? own : entry.substr(equals + 1));
  };
  if (name == kRegionLabel) return is(there.region, places.own().region);
  if (name == kZoneLabel) return is(there.zone, places.own().zone);
  if (name == kSubzoneLabel) return is(there.subzone, places.own().subzone);
  if (name == kHostnameLabel) return is(node_of(endpoint), places.node());
  if (std::ranges::find(kCommonLabels, name) != std::end(kCommonLabels)) return true;
  return equals != std::string::npos && has_pod_label(endpoint, name, entry.substr(equals + 1));
}

// One group a rank, ascending; nothing where there is one rank only.
Groups by_rank(const std::vector<uint32_t>& ranks) {
  std::map<uint32_t, uint32_t> groups;
  for (const uint32_t rank : ranks) groups.emplace(rank, 0);
  if (groups.size() < 2) return std::nullopt;
  uint32_t next = 0;
  for (auto& [rank, group] : groups) group = next++;
  v1::EndpointGroups result;
  for (const uint32_t rank : ranks) result.add_group_of(groups[rank]);
  return result;
}

// An endpoint ranks by how many of the labels, from the first on, it has as the client's node has them.
Groups by_labels(const std::vector<std::string>& labels, const std::map<std::string, std::string>& failover,
                 const ServiceEndpoints& endpoints, const Places& places) {
  std::vector<uint32_t> ranks;
  const auto successor = failover.find(places.own().region);
  for (const auto& [address, endpoint] : endpoints) {
    uint32_t missed = static_cast<uint32_t>(labels.size());
    for (const std::string& entry : labels) {
      if (!matches(entry, endpoint, places)) break;
      --missed;
    }
    // Of the regions that are not this one, the one that takes over comes first.
    const std::string region = places.of(endpoint).region;
    const bool last = successor != failover.end() && region != places.own().region && region != successor->second;
    ranks.push_back(missed + (last ? 1 : 0));
  }
  return by_rank(ranks);
}

Groups by_shares(const LocalitySetting::Distribute& distribute, const ServiceEndpoints& endpoints,
                 const Places& places) {
  v1::EndpointGroups groups;
  for (const LocalitySetting::Share& share : distribute.shares) groups.add_shares(share.weight);
  for (const auto& [address, endpoint] : endpoints) {
    const LocalityName there = places.of(endpoint);
    // "region/zone" comes before "region".
    const auto detail = [](const LocalityName& name) {
      return !name.subzone.empty() ? 3 : !name.zone.empty() ? 2 : !name.region.empty() ? 1 : 0;
    };
    uint32_t best = kNoGroup;
    for (uint32_t i = 0; i < distribute.shares.size(); ++i) {
      const LocalityName& to = distribute.shares[i].to;
      if (covers(to, there) && (best == kNoGroup || detail(to) > detail(distribute.shares[best].to))) best = i;
    }
    groups.add_group_of(best);
  }
  return groups;
}

}  // namespace

LocalityName Places::of_node(const std::string& node) const {
  const Node* found = node.empty() ? nullptr : objects_.find<Node>({"", node});
  if (found == nullptr) return {};
  const Labels& labels = found->meta.labels;
  return {label(labels, kRegionLabel), label(labels, kZoneLabel), label(labels, kSubzoneLabel)};
}

LocalityName Places::of(const ServiceEndpoint& endpoint) const {
  if (endpoint.pod == nullptr && !endpoint.locality.empty()) return parse_locality(endpoint.locality);
  LocalityName there = of_node(node_of(endpoint));
  if (there.zone.empty()) there.zone = endpoint.zone;
  if (there.region.empty() && there.zone == own_.zone) there.region = own_.region;
  return there;
}

bool is_comparable(std::string_view failover_label) {
  return failover_label.find('=') != std::string_view::npos || failover_label == kRegionLabel ||
         failover_label == kZoneLabel || failover_label == kSubzoneLabel || failover_label == kHostnameLabel ||
         std::ranges::find(kCommonLabels, failover_label) != std::end(kCommonLabels);
}

Groups groups_by_locality(const LocalitySetting& setting, const ServiceEndpoints& endpoints, const Places& places) {
  if (!setting.enabled) return std::nullopt;
  for (const LocalitySetting::Distribute& distribute : setting.distribute) {
    if (covers(distribute.from, places.own())) return by_shares(distribute, endpoints, places);
  }
  std::vector<std::string> labels;
  for (const std::string& entry : setting.failover_priority) {
    if (!is_comparable(entry)) break;
    labels.push_back(entry);
  }
  if (setting.failover_priority.empty()) labels = {kRegionLabel, kZoneLabel, kSubzoneLabel};
  return by_labels(labels, setting.failover, endpoints, places);
}

Groups groups_by_distribution(std::string_view traffic_distribution, const ServiceEndpoints& endpoints,
                              const Places& places) {
  std::vector<std::string> labels{kRegionLabel, kZoneLabel};
  if (traffic_distribution == "PreferSameNode") labels.emplace_back(kHostnameLabel);
  return by_labels(labels, {}, endpoints, places);
}

Groups groups_by_hints(const ServiceEndpoints& endpoints, const Places& places) {
  const auto names = [](const std::optional<std::vector<std::string>>& hint, const std::string& name) {
    return hint && !name.empty() && std::ranges::find(*hint, name) != hint->end();
  };
  const auto for_us = [&](const ServiceEndpoint& endpoint) {
    return names(endpoint.for_zones, places.own().zone) || names(endpoint.for_nodes, places.node());
  };
  std::vector<uint32_t> ranks;
  for (const auto& [address, endpoint] : endpoints) {
    if (endpoint.ready && !endpoint.for_zones && !endpoint.for_nodes) return std::nullopt;
    ranks.push_back(for_us(endpoint) ? 0 : 1);
  }
  return by_rank(ranks);
}

}  // namespace leat::control
