// What the compiler knows of the objects of each kind, one table a kind, each made from those above it. Parts are made
// from these; who asks one of them has what it answered noted.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/destination_rule.h"
#include "control/endpoints.h"
#include "control/finding_list.h"
#include "control/gateway_routes.h"
#include "control/locality.h"
#include "control/peer_authentication.h"
#include "control/pods.h"
#include "control/reads.h"
#include "control/service_registry.h"
#include "control/telemetry.h"
#include "control/virtual_service.h"

namespace leat::control {

class Tables {
 public:
  // What changed; null: everything is made anew, by the same code.
  using Keys = const std::vector<ObjectKey>*;

  // `node`: whose view it is. All of it is empty until update().
  Tables(const std::string& node, Reads& reads) : node_(node), reads_(reads) {}

  // Whether `keys` are of rare kinds, or Services whose being there decides about ServiceEntries.
  [[nodiscard]] bool need_everything(const std::vector<ObjectKey>& keys) const;

  // Of an update, beside the parts that are dirty by it.
  struct Change {
    std::set<Name> services;             // of the names of these the objects changed
    std::vector<PodTable::Change> pods;  // the pods that are others than before
    bool every_service = false;          // a wildcard says something else
  };
  // `objects` outlives the next update.
  Change update(const ObjectSet& objects, Keys keys, const std::string& root_namespace, DirtyParts& dirty,
                FindingList& findings);

  [[nodiscard]] const View& view() const { return view_; }
  [[nodiscard]] const ObjectSet& objects() const { return view_.objects(); }
  [[nodiscard]] const SliceTable& slices() const { return slices_; }
  [[nodiscard]] const PodTable& pods() const { return pods_; }
  [[nodiscard]] const ServiceRegistry& registry() const { return *registry_; }
  [[nodiscard]] const Places& places() const { return *places_; }
  [[nodiscard]] const PeerPolicies& peers() const { return *peers_; }
  [[nodiscard]] const TelemetryPolicies& telemetry() const { return *telemetry_; }
  [[nodiscard]] const DestinationRules& rules() const { return *rules_; }
  [[nodiscard]] const VirtualServices& routing() const { return routing_; }
  [[nodiscard]] const GatewayRoutes& gateway_routing() const { return *gateway_routing_; }
  [[nodiscard]] const std::vector<v1::RouteStatus>& route_statuses() const;  // also before the first update

 private:
  // Facts of objects themselves, and tables of kinds that are read whole.
  void read_objects(Keys keys, const std::string& root_namespace, Change& change, DirtyParts& dirty,
                    FindingList& findings);
  void read_pods(Keys keys, Change& change, DirtyParts& dirty, FindingList& findings);
  // Each table's answers are the next one's facts.
  void update_rules(Keys keys, const std::string& root_namespace, Change& change, DirtyParts& dirty,
                    FindingList& findings);
  void update_routing(Keys keys, Change& change, DirtyParts& dirty, FindingList& findings);
  void update_gateway_routing(Keys keys, DirtyParts& dirty, FindingList& findings);

  static const ObjectSet& no_objects();

  const std::string& node_;
  Reads& reads_;
  View view_{no_objects(), reads_};

  SliceTable slices_;
  PodTable pods_{view_, node_};
  std::optional<ServiceRegistry> registry_;
  std::optional<Places> places_;
  std::optional<PeerPolicies> peers_;
  std::optional<TelemetryPolicies> telemetry_;
  Reads::Part rules_part_ = reads_.add();
  std::optional<DestinationRules> rules_;
  VirtualServices routing_{view_, reads_};
  Reads::Part gateway_part_ = reads_.add();
  std::optional<GatewayRoutes> gateway_routing_;
};

}  // namespace leat::control
