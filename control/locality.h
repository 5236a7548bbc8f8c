// Where nodes are, and what that makes of a Service's endpoints: groups, the nearest first, as one node sees them.
#pragma once

#include <optional>
#include <string>

#include "control/endpoints.h"
#include "control/objects.h"
#include "control/reads.h"
#include "control/traffic_policy.h"
#include "leat.pb.h"

namespace leat::control {

class Places {
 public:
  // As seen from `node`.
  Places(const View& objects, const std::string& node) : objects_(objects), node_(node), own_(of_node(node)) {}

  [[nodiscard]] LocalityName of_node(const std::string& node) const;
  [[nodiscard]] LocalityName of(const ServiceEndpoint& endpoint) const;
  [[nodiscard]] const LocalityName& own() const { return own_; }
  [[nodiscard]] const std::string& node() const { return node_; }

 private:
  const View& objects_;
  const std::string& node_;
  LocalityName own_;
};

// A label of failoverPriority that can be compared: one that says where a node is, or one with its value.
bool is_comparable(std::string_view failover_label);

// Groups of `endpoints` in their order; nothing where all are alike.
using Groups = std::optional<v1::EndpointGroups>;
Groups groups_by_locality(const LocalitySetting& setting, const ServiceEndpoints& endpoints, const Places& places);
// As a Service's trafficDistribution asks.
Groups groups_by_distribution(std::string_view traffic_distribution, const ServiceEndpoints& endpoints,
                              const Places& places);
// By the hints of EndpointSlices, which count only if every ready endpoint has some, and one is for this node: as
// kube-proxy takes them.
Groups groups_by_hints(const ServiceEndpoints& endpoints, const Places& places);

}  // namespace leat::control
