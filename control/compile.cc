#include "control/compile.h"

#include <utility>

#include "control/alias_table.h"
#include "control/finding_list.h"
#include "control/mesh_store.h"
#include "control/node_pods.h"
#include "control/object_checks.h"
#include "control/service_units.h"
#include "control/settings.h"
#include "control/tables.h"
#include "control/tls_secrets.h"
#include "control/workload_model.h"

namespace leat::control {

// update() is the table of contents. A null `keys` means everything: then all parts are made anew, by the same code.
class Compiler::Impl {
 public:
  Impl(std::string node, Books& books) : node_(std::move(node)), books_(books) {
    // Until there are objects, what they would leave out holds: a time of zero would be no time at all.
    store_.put_settings(default_settings());
  }

  Update update(const ObjectSet& objects, bool everything) {
    const auto changed = everything ? std::nullopt : objects.changed_since(seen_version_);
    seen_version_ = objects.version();
    // An alias that found no id is tried again.
    const Keys keys = changed && !lacks_ids_ && !tables_.need_everything(*changed) ? &*changed : nullptr;

    if (keys == nullptr) read_settings(objects);
    Tables::Change change = tables_.update(objects, keys, store_.settings().root_namespace(), dirty_, findings_);
    for (const Name& service : change.services) units_.make_dirty(service);
    if (change.every_service) units_.make_all_dirty();
    node_pods_.assign_slots(keys == nullptr, change.pods, dirty_, findings_);
    update_workloads(keys, change.pods);
    units_.update(keys == nullptr);
    update_secrets(keys);
    aliases_.settle(keys == nullptr);
    node_pods_.list(keys, change.pods);
    checks_.update(keys, change.pods, findings_);
    dirty_.clear();
    return take_update();
  }

  // ---- what is compiled

  [[nodiscard]] const MeshStore& store() const { return store_; }
  [[nodiscard]] const std::vector<LocalPod>& local_pods() const { return node_pods_.listed(); }
  [[nodiscard]] const Findings& findings() const { return findings_.sorted(); }
  [[nodiscard]] const std::vector<v1::RouteStatus>& route_statuses() const { return tables_.route_statuses(); }

  [[nodiscard]] v1::Mesh mesh() const {
    v1::Mesh mesh;
    store_.add_to(mesh);
    std::map<std::string, const LivePod*> pods;
    for (const LivePod& live : tables_.pods().all()) pods.emplace(live.uid(), &live);
    mesh.mutable_workloads()->Reserve(static_cast<int>(pods.size()));
    for (const auto& [uid, live] : pods) make_workload(*live, *mesh.add_workloads());
    for (const auto& [id, row] : aliases_.rows()) *mesh.add_aliases() = alias_of(id, row);
    return mesh;
  }

  [[nodiscard]] v1::Mesh local_mesh() const {
    v1::Mesh mesh;
    *mesh.mutable_settings() = store_.settings();
    for (const auto& [uid, pod] : node_pods_.planned())
      make_workload(*tables_.pods().by_uid(uid), *mesh.add_workloads());
    return mesh;
  }

  [[nodiscard]] std::vector<PlannedAlias> aliases() const {
    std::vector<PlannedAlias> aliases;
    for (const auto& [id, row] : aliases_.rows()) aliases.push_back(planned(id, row));
    return aliases;
  }

  [[nodiscard]] std::optional<PlannedAlias> alias(uint32_t id) const {
    const auto row = aliases_.rows().find(id);
    return row == aliases_.rows().end() ? std::nullopt : std::optional(planned(id, row->second));
  }

  [[nodiscard]] CapturePlan local_plan() const {
    CapturePlan plan{.services = units_.direct_services(), .same_node = store_.settings().same_node()};
    for (const auto& [uid, pod] : node_pods_.planned()) plan.pods.push_back(pod);
    return plan;
  }

  [[nodiscard]] std::optional<v1::Workload> workload_at(const IpAddress& address) const {
    const LivePod* live = tables_.pods().by_address(address);
    if (live == nullptr) return std::nullopt;
    std::optional<v1::Workload> workload(std::in_place);
    make_workload(*live, *workload);
    return workload;
  }

  [[nodiscard]] std::optional<Name> service_at(const IpAddress& vip) const {
    const auto* claimants = units_.claims().find(vip);
    if (claimants == nullptr || tables_.pods().by_address(vip) != nullptr) return std::nullopt;
    return claimants->begin()->second;
  }

  [[nodiscard]] std::optional<Name> service_of_alias(uint32_t id) const {
    const auto row = aliases_.rows().find(id);
    return row == aliases_.rows().end() ? std::nullopt : service_at(row->second.address);
  }

 private:
  using Keys = Tables::Keys;

  void read_settings(const ObjectSet& objects) {
    const Mesh* mesh = objects.find<Mesh>({"", "default"});
    const v1::MeshSettings settings = mesh != nullptr ? mesh->settings : default_settings();
    same_node_changed_ |= settings.same_node() != store_.settings().same_node();
    store_.put_settings(settings);
  }

  // ---- pods

  void update_workloads(Keys keys, const std::vector<PodTable::Change>& changes) {
    if (keys == nullptr) {
      aliases_.release_all();
      units_.forget_aliases();
      node_pods_.drop_plans();
    }
    for (const PodTable::Change& change : changes) {
      if (!change.before) continue;
      const std::string uid = change.before->uid();
      for (const IpAddress& address : change.before->addresses()) {
        if (aliases_.holds({address, false}, uid)) aliases_.release({address, false});
      }
      node_pods_.drop_plan(uid);
      if (change.after) continue;
      findings_.put("pod " + uid, {});
      store_.remove_workload(uid);
    }
    if (keys == nullptr) {
      for (const LivePod& live : tables_.pods().all()) add_workload(live);
    } else {
      for (const PodTable::Change& change : changes) {
        if (change.after) add_workload(*change.after);
      }
    }
  }

  void add_workload(const LivePod& live) {
    const std::string uid = live.uid();
    v1::Workload workload;
    make_workload(live, workload);
    store_.put(workload);
    Findings findings;
    if (node_pods_.is_captured(live)) {
      for (const IpAddress& address : live.addresses())
        aliases_.hold({address, false}, AliasTable::Use::kWorkload, node_pods_.slot_of(live), uid,
                      live.pod->meta.source, findings);
      if (node_pods_.is_local(live)) node_pods_.plan(live, tables_.peers().for_pod(*live.pod), findings);
    }
    findings_.put("pod " + uid, std::move(findings));
  }

  void make_workload(const LivePod& live, v1::Workload& workload) const {
    const Standing standing = node_pods_.standing_of(live);
    fill_workload(live, tables_.peers().for_pod(*live.pod), tables_.places().of_node(live.pod->node), standing,
                  workload);
    if (!standing.captured || !standing.local) return;
    if (std::optional<v1::Telemetry> seen = tables_.telemetry().for_pod(*live.pod))
      *workload.mutable_telemetry() = std::move(*seen);
  }

  // ---- secrets and aliases

  void update_secrets(Keys keys) {
    if (keys != nullptr && !dirty_.contains(secrets_part_)) return;
    const Reads::Scope scope(reads_, secrets_part_);
    store_.put_secrets(tls_secrets(tables_.view()));
  }

  [[nodiscard]] v1::Alias alias_of(uint32_t id, const AliasTable::Row& row) const {
    v1::Alias alias;
    alias.set_id(id);
    alias.set_address(row.address.wire());
    if (row.use == AliasTable::Use::kWorkload) alias.set_workload_uid(tables_.pods().by_address(row.address)->uid());
    if (row.use == AliasTable::Use::kRemoteOnly) alias.set_service(units_.claims().owner(row.address).second.text());
    if (row.use == AliasTable::Use::kService) {
      const std::vector<Name> names = units_.claims().named_by(row.address);
      alias.set_service(names.front().text());
      for (size_t i = 1; i < names.size(); ++i) alias.add_other_services(names[i].text());
    }
    alias.set_remote_only(row.use == AliasTable::Use::kRemoteOnly);
    return alias;
  }

  static PlannedAlias planned(uint32_t id, const AliasTable::Row& row) {
    return {.id = id, .address = row.address, .destination = row.destination(), .pod_index = row.pod_index};
  }

  // ---- the result

  Update take_update() {
    Update update{.everything = std::exchange(first_, false)};
    const auto changes = aliases_.take_changes();
    const auto make = [this](const std::string& uid) {
      v1::Workload workload;
      make_workload(*tables_.pods().by_uid(uid), workload);
      return workload;
    };
    store_.take_changes(make, update.mesh);
    for (const auto& [id, before] : changes) {
      if (update.everything) break;
      const auto row = aliases_.rows().find(id);
      if (row == aliases_.rows().end()) {
        update.mesh.add_removed_aliases(id);
        update.removed_aliases.push_back(id);
        continue;
      }
      *update.mesh.add_aliases() = alias_of(id, row->second);
      update.aliases.push_back(planned(id, row->second));
      const bool was_open = before && before->use != AliasTable::Use::kDecodes;
      if (row->second.use != AliasTable::Use::kDecodes && !was_open) update.opened.push_back(id);
    }
    update.local = std::exchange(same_node_changed_, false);
    update.local |= node_pods_.take_plan_changed();
    update.local |= units_.take_direct_changed();
    update.findings = findings_.take_changed();
    update.local_pods = node_pods_.take_list_changed();
    lacks_ids_ = aliases_.take_exhausted();
    return update;
  }

  const std::string node_;
  Books& books_;
  uint64_t seen_version_ = 0;
  bool first_ = true;

  Reads reads_;
  DirtyParts dirty_{reads_};
  Reads::Part secrets_part_ = reads_.add();

  Tables tables_{node_, reads_};
  MeshStore store_;
  AliasTable aliases_{books_.aliases};
  FindingList findings_;
  NodePods node_pods_{node_, books_.pods, tables_};
  ServiceUnits units_{tables_, node_pods_, reads_, dirty_, aliases_, store_, findings_};
  ObjectChecks checks_{node_, tables_};

  bool same_node_changed_ = false;
  bool lacks_ids_ = false;  // in the update before
};

Compiler::Compiler(std::string node, Books& books) : impl_(std::make_unique<Impl>(std::move(node), books)) {}
Compiler::~Compiler() = default;

CompiledMesh Compiler::compile(const ObjectSet& objects) {
  impl_->update(objects, /*everything=*/true);
  CompiledMesh compiled{.mesh = mesh(),
                        .plan = local_plan(),
                        .local_pods = local_pods(),
                        .findings = findings(),
                        .route_statuses = route_statuses()};
  compiled.plan.aliases = aliases();
  return compiled;
}

Update Compiler::update(const ObjectSet& objects) { return impl_->update(objects, /*everything=*/false); }

const v1::MeshSettings& Compiler::settings() const { return impl_->store().settings(); }
size_t Compiler::workloads() const { return impl_->store().workloads(); }
size_t Compiler::services() const { return impl_->store().services(); }
v1::Mesh Compiler::mesh() const { return impl_->mesh(); }
v1::Mesh Compiler::local_mesh() const { return impl_->local_mesh(); }
std::vector<PlannedAlias> Compiler::aliases() const { return impl_->aliases(); }
std::optional<PlannedAlias> Compiler::alias(uint32_t id) const { return impl_->alias(id); }
CapturePlan Compiler::local_plan() const { return impl_->local_plan(); }
const std::vector<LocalPod>& Compiler::local_pods() const { return impl_->local_pods(); }
const std::vector<v1::Finding>& Compiler::findings() const { return impl_->findings(); }
const std::vector<v1::RouteStatus>& Compiler::route_statuses() const { return impl_->route_statuses(); }
std::optional<v1::Workload> Compiler::workload_at(const IpAddress& address) const {
  return impl_->workload_at(address);
}
std::optional<Name> Compiler::service_at(const IpAddress& vip) const { return impl_->service_at(vip); }
std::optional<Name> Compiler::service_of_alias(uint32_t id) const { return impl_->service_of_alias(id); }

}  // namespace leat::control
