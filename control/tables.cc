#include "control/tables.h"

#include <algorithm>
#include <utility>

namespace leat::control {

bool Tables::need_everything(const std::vector<ObjectKey>& keys) const {
  return !registry_ || std::ranges::any_of(keys, [this](const ObjectKey& key) {
    return !is_tracked(key.kind) || (key.kind == Service::kKind && registry_->is_contested(key.name));
  });
}

Tables::Change Tables::update(const ObjectSet& objects, Keys keys, const std::string& root_namespace, DirtyParts& dirty,
                              FindingList& findings) {
  view_ = View(objects, reads_);
  Change change;
  read_objects(keys, root_namespace, change, dirty, findings);
  read_pods(keys, change, dirty, findings);
  update_rules(keys, root_namespace, change, dirty, findings);
  update_routing(keys, change, dirty, findings);
  update_gateway_routing(keys, dirty, findings);
  return change;
}

void Tables::read_objects(Keys keys, const std::string& root_namespace, Change& change, DirtyParts& dirty,
                          FindingList& findings) {
  const std::set<Name> slices_changed = slices_.update(keys, objects());
  if (keys == nullptr) {
    Findings of_tables;
    registry_.emplace(view_, of_tables);
    places_.emplace(view_, node_);
    peers_.emplace(view_, root_namespace, of_tables);
    telemetry_.emplace(view_, root_namespace, of_tables);
    findings.put("tables", std::move(of_tables));
    return;
  }
  for (const ObjectKey& key : *keys) {
    dirty.add_readers(fact(key.kind, key.name));
    dirty.add_readers(fact(key.kind, kAll));
    if (key.kind == Service::kKind) change.services.insert(key.name);
    if (key.kind != HostAnswer::kKind) continue;
    if (const Service* service = registry_->answered(key.name.name)) change.services.insert(service->meta.name);
  }
  for (const Name& service : slices_changed) {
    change.services.insert(service);
    dirty.add_readers(SliceTable::fact_of(service));
  }
}

void Tables::read_pods(Keys keys, Change& change, DirtyParts& dirty, FindingList& findings) {
  change.pods = pods_.update(keys);
  for (const PodTable::Change& pod : change.pods) pods_.add_readers_of(pod, dirty);
  findings.put("pods", pods_.findings());
}

void Tables::update_rules(Keys keys, const std::string& root_namespace, Change& change, DirtyParts& dirty,
                          FindingList& findings) {
  if (keys != nullptr && !dirty.contains(rules_part_)) return;
  const Reads::Scope scope(reads_, rules_part_);
  Findings of_rules;
  DestinationRules rules(view_, *registry_, root_namespace, of_rules);
  const auto difference = rules_ ? rules.since(*rules_) : DestinationRules::Difference{};
  for (const Name& service : difference.services) dirty.add_readers(DestinationRules::fact_of(service));
  if (difference.wildcards) {
    change.every_service = true;
    dirty.add_all(routing_.parts());
  }
  rules_.emplace(std::move(rules));
  findings.put("rules", std::move(of_rules));
}

void Tables::update_routing(Keys keys, Change& change, DirtyParts& dirty, FindingList& findings) {
  const auto difference = routing_.update(keys, dirty.all(), *registry_, *rules_);
  for (const Name& service : difference.services) dirty.add_readers(VirtualServices::fact_of(service));
  change.every_service |= difference.wildcards;
  if (difference.any) findings.put("routes", routing_.findings());
}

void Tables::update_gateway_routing(Keys keys, DirtyParts& dirty, FindingList& findings) {
  if (keys != nullptr && !dirty.contains(gateway_part_)) return;
  std::set<Name> affected = gateway_routing_ ? gateway_routing_->services() : std::set<Name>();
  const Reads::Scope scope(reads_, gateway_part_);
  Findings of_routes;
  gateway_routing_.emplace(view_, of_routes);
  affected.merge(gateway_routing_->services());
  for (const Name& service : affected) dirty.add_readers(GatewayRoutes::fact_of(service));
  findings.put("gateway routes", std::move(of_routes));
}

const std::vector<v1::RouteStatus>& Tables::route_statuses() const {
  static const std::vector<v1::RouteStatus> kNone;
  return gateway_routing_ ? gateway_routing_->statuses() : kNone;
}

const ObjectSet& Tables::no_objects() {
  static const ObjectSet none;
  return none;
}

}  // namespace leat::control
