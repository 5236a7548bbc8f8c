// The endpoints of a Service: from its EndpointSlices where there are any, else computed from its selector as
// Kubernetes would.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/pods.h"

namespace leat::control {

struct ServiceEndpoint {
  const LivePod* pod = nullptr;  // null: not a pod that is known
  bool ready = false;            // may get new connections
  uint32_t weight = 1;
  std::map<uint16_t, uint16_t> ports;  // Service port -> the endpoint's
  // As its EndpointSlice has them, where there is one.
  std::string node;
  std::string zone;
  std::optional<std::vector<std::string>> for_zones;  // topology hints
  std::optional<std::vector<std::string>> for_nodes;
};

using ServiceEndpoints = std::map<IpAddress, ServiceEndpoint>;

using SlicesByService = std::map<Name, std::vector<const EndpointSlice*>>;
// Names the slices whose Service does not exist.
SlicesByService group_slices(const ObjectSet& objects, Findings& findings);

ServiceEndpoints endpoints_of(const Service& service, const SlicesByService& slices, const PodTable& pods,
                              Findings& findings);

}  // namespace leat::control
