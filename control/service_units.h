// The Services of the mesh, each compiled by itself: its model, the aliases of its addresses, and what the kernel
// serves of it. A unit is a Service of Kubernetes or of a ServiceEntry, or a name that EndpointSlices have and no
// Service.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/address_claims.h"
#include "control/alias_table.h"
#include "control/compile.h"
#include "control/finding_list.h"
#include "control/mesh_store.h"
#include "control/node_pods.h"
#include "control/tables.h"

namespace leat::control {

class ServiceUnits {
 public:
  ServiceUnits(const Tables& tables, const NodePods& node_pods, Reads& reads, DirtyParts& dirty, AliasTable& aliases,
               MeshStore& store, FindingList& findings)
      : tables_(tables),
        node_pods_(node_pods),
        reads_(reads),
        dirty_(dirty),
        aliases_(aliases),
        store_(store),
        findings_(findings) {}

  // The unit of that name, which may be new, has to be made anew; or all that there are.
  void make_dirty(const Name& name) { dirty_.add(unit_of(name).part); }
  void make_all_dirty();
  // All aliases are let go of at once: the units hold none.
  void forget_aliases();
  // Makes the dirty ones anew; `everything`: all, also those that were not known.
  void update(bool everything);

  [[nodiscard]] const AddressClaims& claims() const { return claims_; }
  [[nodiscard]] std::vector<DirectService> direct_services() const;  // of the plan
  // Whether those were touched since the last call.
  bool take_direct_changed() { return std::exchange(direct_changed_, false); }

 private:
  struct Unit {
    Reads::Part part = Reads::kNobody;
    std::set<IpAddress> vips;  // that it claims
    std::vector<AliasKey> held;
    std::vector<DirectService> direct;
  };

  Unit& unit_of(const Name& name);
  [[nodiscard]] AddressClaims::Claimants dirty_units() const;
  [[nodiscard]] bool is_external(const Name& name) const;

  void make_unit(const Name& name);
  // Whether it is part of the model.
  bool make_service(const Service& service, Unit& unit, Findings& findings);
  [[nodiscard]] bool is_routed(const Service& service) const;
  [[nodiscard]] bool takes_spans(const Name& name) const;
  // `reached`: connections to its addresses are captured.
  void add_service(const Service& service, ServiceEndpoints endpoints, bool reached, Unit& unit, Findings& findings);
  // What a rule makes of the Service. `rule` may be null; `model` has ports.
  void apply_rule(const Service& service, const DestinationRule* rule, ServiceEndpoints& endpoints, v1::Service& model,
                  Findings& findings) const;
  void add_vips(const Service& service, const ServiceEndpoints& endpoints, v1::Service& model, Unit& unit,
                Findings& findings);
  [[nodiscard]] bool is_shared(const Service& service) const;
  // Says which addresses the unit wants. Others that want one of them are made anew where that changes who has it.
  void claim(const Service& service, bool external, Unit& unit);
  // `first`: the Service has not named the address before.
  [[nodiscard]] bool may_have_vip(const Service& service, const IpAddress& vip, bool first, Findings& findings) const;
  std::optional<uint32_t> hold(const AliasKey& key, AliasTable::Use use, const std::string& target,
                               const Service& service, Unit& unit, Findings& findings);

  const Tables& tables_;
  const NodePods& node_pods_;
  Reads& reads_;
  DirtyParts& dirty_;
  AliasTable& aliases_;
  MeshStore& store_;
  FindingList& findings_;

  std::map<Name, Unit> units_;
  std::unordered_map<Reads::Part, Name> names_by_part_;
  AddressClaims claims_;
  bool direct_changed_ = false;
};

}  // namespace leat::control
