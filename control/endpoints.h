// The endpoints of a Service: from its EndpointSlices where there are any, else computed from its selector as
// Kubernetes would.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/pods.h"
#include "control/reads.h"

namespace leat::control {

struct ServiceEndpoint {
  const LivePod* pod = nullptr;  // null: not a pod that is known
  bool ready = false;            // may get new connections
  uint32_t weight = 1;
  Labels labels;                       // of one that is no known pod
  std::string locality;                // of it, where a ServiceEntry says so
  std::map<uint16_t, uint16_t> ports;  // Service port -> the endpoint's
  // As its EndpointSlice has them, where there is one.
  std::string node;
  std::string zone;
  std::optional<std::vector<std::string>> for_zones;  // topology hints
  std::optional<std::vector<std::string>> for_nodes;
};

using ServiceEndpoints = std::map<IpAddress, ServiceEndpoint>;

// The EndpointSlices, by the Service that they are of.
class SliceTable {
 public:
  // What `keys` names anew, or everything. Returns the Services whose slices are others than before.
  std::set<Name> update(const std::vector<ObjectKey>* keys, const ObjectSet& objects);

  // Of `service`, by name. Who asks is a reader of them.
  [[nodiscard]] std::span<const std::shared_ptr<const EndpointSlice>> of(const Name& service, const View& view) const;
  [[nodiscard]] const auto& all() const { return by_service_; }
  static Fact fact_of(const Name& service) { return fact("slices", service); }

 private:
  using Slices = std::vector<std::shared_ptr<const EndpointSlice>>;
  std::map<Name, Slices> by_service_;
  std::map<Name, Name> services_;  // by slice
};

ServiceEndpoints endpoints_of(const Service& service, const SliceTable& slices, const PodTable& pods, const View& view,
                              Findings& findings);

}  // namespace leat::control
