#include "control/compile.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include <fmt/format.h>

#include "control/destination_rule.h"
#include "control/endpoints.h"
#include "control/findings.h"
#include "control/gateway_routes.h"
#include "control/locality.h"
#include "control/network_policy.h"
#include "control/peer_authentication.h"
#include "control/pods.h"
#include "control/protocol.h"
#include "control/service_policies.h"
#include "control/settings.h"
#include "control/telemetry.h"
#include "control/virtual_service.h"

namespace leat::control {
namespace {

// One compilation, from top to bottom: run() is the table of contents.
class Compilation {
 public:
  // `held`: the aliases of the compilation before; this one's afterwards.
  Compilation(const ObjectSet& objects, const std::string& node, Books& books, std::vector<AliasKey>& held)
      : objects_(objects),
        node_(node),
        books_(books),
        held_before_(held),
        places_(objects, node),
        pods_(objects, node, result_.findings),
        services_(objects, result_.findings),
        rules_(objects, services_, result_.findings),
        routing_(objects, services_, rules_, result_.findings),
        gateway_routing_(objects, result_.findings) {}

  CompiledMesh run() {
    read_settings();
    check_references();
    assign_slots();
    add_workloads();
    add_services();
    retire_aliases();
    list_local_pods();
    sort_result();
    result_.route_statuses = gateway_routing_.statuses();
    return std::move(result_);
  }

 private:
  void read_settings() {
    const Mesh* mesh = objects_.find<Mesh>({"", "default"});
    *result_.mesh.mutable_settings() = mesh != nullptr ? mesh->settings : default_settings();
    result_.plan.same_node = result_.mesh.settings().same_node();
  }

  void check_references() {
    check_markers(objects_, result_.findings);
    check_network_policies(objects_, pods_, result_.findings);
    if (!node_.empty() && !objects_.all<Node>().empty() && objects_.find<Node>({"", node_}) == nullptr) {
      result_.findings.push_back(
          make_finding(Severity::kWarning, {}, describe(Node::kKind, {"", node_}), "",
                       "there is no Node object for the node that this agent runs on; its zone is not known"));
    }
  }

  [[nodiscard]] bool is_local(const LivePod& live) const { return live.pod->node == node_; }

  // Local captured pods get their index before anything refers to it.
  void assign_slots() {
    std::set<std::string> wanted;
    for (const LivePod& live : pods_.all()) {
      if (live.captured && is_local(live)) wanted.insert(live.uid);
    }
    books_.pods.keep_only(wanted);
    for (const LivePod& live : pods_.all()) {
      if (!wanted.contains(live.uid)) continue;
      if (const auto slot = books_.pods.hold(live.uid)) {
        slots_.emplace(live.uid, *slot);
      } else {
        result_.findings.push_back(
            finding_on(Severity::kError, *live.pod, "",
                       fmt::format("not enrolled: a node holds at most {} enrolled pods", PodSlots::kSlots)));
      }
    }
  }

  // Captured, and where that is this node's work, it has the room for it.
  [[nodiscard]] bool is_captured(const LivePod& live) const {
    return live.captured && (!is_local(live) || slots_.contains(live.uid));
  }
  [[nodiscard]] uint32_t slot_of(const LivePod& live) const {
    const auto slot = slots_.find(live.uid);
    return slot == slots_.end() ? PodSlots::kNone : slot->second;
  }

  void add_workloads() {
    PeerPolicies policies(objects_, result_.mesh.settings().root_namespace(), result_.findings);
    TelemetryPolicies telemetry(objects_, result_.mesh.settings().root_namespace(), result_.findings);
    for (const LivePod& live : pods_.all()) {
      const PodMtls mtls = policies.for_pod(*live.pod, result_.findings);
      v1::Workload& workload = *result_.mesh.add_workloads();
      fill_workload(live, mtls, workload);
      std::optional<v1::Telemetry> seen = telemetry.for_pod(*live.pod, result_.findings);
      if (!is_captured(live)) continue;
      if (seen && is_local(live)) *workload.mutable_telemetry() = std::move(*seen);
      for (const IpAddress& address : live.addresses) {
        if (v1::Alias* alias = add_alias({address, false}, true, slot_of(live), live.pod->meta.source))
          alias->set_workload_uid(live.uid);
      }
      if (is_local(live)) plan_pod(live, mtls);
    }
    policies.report_unused(result_.findings);
    telemetry.report_unused(result_.findings);
  }

  void fill_workload(const LivePod& live, const PodMtls& mtls, v1::Workload& workload) const {
    const Pod& pod = *live.pod;
    workload.set_uid(live.uid);
    workload.set_namespace_(pod.meta.name.ns);
    workload.set_name(pod.meta.name.name);
    workload.set_service_account(pod.service_account);
    workload.set_node(pod.node);
    const LocalityName place = places_.of_node(pod.node);
    workload.set_region(place.region);
    workload.set_zone(place.zone);
    workload.set_subzone(place.subzone);
    for (const IpAddress& address : live.addresses) workload.add_addresses(address.wire());
    workload.mutable_labels()->insert(pod.meta.labels.begin(), pod.meta.labels.end());
    workload.set_owner(pod.meta.owner.empty() ? pod.meta.name.name : pod.meta.owner);
    workload.set_captured(is_captured(live));
    workload.set_local(is_local(live));
    workload.set_ready(live.ready());
    workload.set_terminating(pod.meta.terminating);
    workload.set_mtls(mtls.mode);
    for (const auto& [port, mode] : mtls.ports) (*workload.mutable_port_mtls())[port] = mode;
    workload.set_pod_index(slot_of(live));
  }

  void plan_pod(const LivePod& live, const PodMtls& mtls) {
    result_.plan.pods.push_back({
        .uid = live.uid,
        .name = live.pod->meta.name,
        .index = slot_of(live),
        .addresses = live.addresses,
        .netns_path = live.pod->netns_path,
        .mtls = mtls.mode,
        .port_mtls = mtls.ports,
        .exclusions = read_exclusions(*live.pod, result_.findings),
        .probe_ports = live.pod->probe_ports,
    });
  }

  void add_services() {
    const SlicesByService slices = group_slices(objects_, result_.findings);
    for (const auto& [name, service] : objects_.all<Service>()) {
      if (service.external_name || service.ports.empty()) continue;
      const ServiceEndpoints endpoints = endpoints_of(service, slices, pods_, result_.findings);
      const bool in_mesh = std::ranges::any_of(endpoints, [this](const auto& entry) {
        return entry.second.pod != nullptr && is_captured(*entry.second.pod);
      });
      // Requests to a routed Service are the proxy's work wherever its endpoints are. What a route leads to must be
      // known too, and stays out of the way of who connects to it by itself.
      const bool reached = in_mesh || is_routed(service);
      if (reached || routing_.leads_to(name) || gateway_routing_.leads_to(name) || takes_spans(name))
        add_service(service, endpoints, reached);
    }
    for (const ServiceRegistry::External& external : services_.externals()) {
      const ServiceEndpoints endpoints = ServiceRegistry::endpoints_of(external, pods_, result_.findings);
      add_service(external.service, endpoints, /*reached=*/true);
    }
  }

  [[nodiscard]] bool is_routed(const Service& service) const {
    return routing_.routes(service) || gateway_routing_.routes(service);
  }

  [[nodiscard]] bool takes_spans(const Name& name) const {
    std::string_view collector = result_.mesh.settings().tracing().otlp_endpoint();
    collector.remove_prefix(std::min(collector.find("//") + 2, collector.size()));
    const std::string host = fmt::format("{}.{}", name.name, name.ns);
    return collector.starts_with(host) && collector.substr(host.size()).find_first_of(".:") == 0;
  }

  // `reached`: connections to its addresses are captured.
  void add_service(const Service& service, const ServiceEndpoints& endpoints, bool reached) {
    v1::Service& model = *result_.mesh.add_services();
    model.set_namespace_(service.meta.name.ns);
    model.set_name(service.meta.name.name);
    model.set_headless(service.headless);
    const bool routed = is_routed(service);
    for (const ServicePortSpec& port : service.ports) {
      v1::ServicePort& entry = *model.add_ports();
      entry.set_port(port.port);
      entry.set_name(port.name);
      entry.set_app_protocol(port.app_protocol);
      entry.set_protocol(protocol_of(declared_protocol(port), routed));
    }
    for (const auto& [address, endpoint] : endpoints) {
      v1::Endpoint& entry = *model.add_endpoints();
      entry.set_address(address.wire());
      if (endpoint.pod != nullptr) entry.set_workload_uid(endpoint.pod->uid);
      entry.set_ready(endpoint.ready);
      entry.set_weight(endpoint.weight);
      for (const auto& [service_port, target_port] : endpoint.ports) {
        v1::EndpointPort& port = *entry.add_ports();
        port.set_service_port(service_port);
        port.set_target_port(target_port);
      }
    }
    const DestinationRule* rule = rules_.of(service.meta.name);
    if (rule != nullptr) add_subsets(*rule, endpoints, model, result_.findings);
    add_policies(service, rule, endpoints, places_, model, result_.findings);
    routing_.add_tables(service, model, result_.findings);
    gateway_routing_.add_tables(service, model, result_.findings);
    if (!reached) return;
    for (const IpAddress& vip : service.vips) {
      if (!claim_vip(service, vip)) continue;
      model.add_vips(vip.wire());
      v1::Alias* alias = add_alias({vip, false}, true, PodSlots::kNone, service.meta.source);
      if (alias == nullptr) continue;
      alias->set_service(service.meta.name.text());
      if (result_.plan.same_node == v1::SAME_NODE_DIRECT) plan_direct(service, model, vip, alias->id(), endpoints);
    }
  }

  bool claim_vip(const Service& service, const IpAddress& vip) {
    const auto refuse = [&](std::string_view kind, const Name& owner) {
      result_.findings.push_back(
          finding_on(Severity::kError, service, "spec.clusterIP",
                     fmt::format("{} has the address {} already and keeps it", describe(kind, owner), vip.text())));
      return false;
    };
    if (const LivePod* pod = pods_.by_address(vip)) return refuse(Pod::kKind, pod->pod->meta.name);
    const auto [owner, added] = vip_owners_.emplace(vip, service.meta.name);
    return added || refuse(Service::kKind, owner->second);
  }

  // For each port: the ready endpoints that the kernel can serve by itself, and how many it can't. A port that may
  // carry HTTP has none: each request is the proxy's to place. Neither has one whose policy the kernel can't keep.
  void plan_direct(const Service& service, const v1::Service& model, const IpAddress& vip, uint32_t alias_id,
                   const ServiceEndpoints& endpoints) {
    std::optional<uint32_t> remote_alias_id;
    for (const v1::ServicePort& port : model.ports()) {
      if (port.protocol() != v1::PROTOCOL_TCP) continue;
      if (port.policy() > 0 && needs_proxy(model.policies(static_cast<int>(port.policy()) - 1))) continue;
      DirectService direct{.alias_id = alias_id, .port = static_cast<uint16_t>(port.port())};
      for (const auto& [address, endpoint] : endpoints) {
        const auto target = endpoint.ports.find(direct.port);
        if (!endpoint.ready || target == endpoint.ports.end() || address.is_v4() != vip.is_v4()) continue;
        const uint32_t slot = endpoint.pod != nullptr ? slot_of(*endpoint.pod) : PodSlots::kNone;
        if (slot == PodSlots::kNone) {
          ++direct.remote_endpoints;
        } else {
          direct.local.push_back({address, target->second, slot});
        }
      }
      if (direct.local.empty()) continue;
      if (direct.remote_endpoints > 0 && !remote_alias_id) remote_alias_id = add_remote_alias(service, vip);
      if (direct.remote_endpoints > 0) direct.remote_alias_id = remote_alias_id;
      result_.plan.services.push_back(std::move(direct));
    }
  }

  std::optional<uint32_t> add_remote_alias(const Service& service, const IpAddress& vip) {
    v1::Alias* alias = add_alias({vip, true}, false, PodSlots::kNone, service.meta.source);
    if (alias == nullptr) return std::nullopt;
    alias->set_service(service.meta.name.text());
    alias->set_remote_only(true);
    return alias->id();
  }

  // The alias in the model, without its target yet; null where the book has no id left.
  v1::Alias* add_alias(const AliasKey& key, bool destination, uint32_t pod_index, const Source& source) {
    const Result<uint32_t> id = books_.aliases.hold(key);
    if (!id) {
      result_.findings.push_back(make_finding(Severity::kError, source, "", "", id.error().message));
      return nullptr;
    }
    held_.push_back(key);
    return list_alias(*id, key.address, destination, pod_index);
  }

  v1::Alias* list_alias(uint32_t id, const IpAddress& address, bool destination, uint32_t pod_index) {
    v1::Alias& alias = *result_.mesh.add_aliases();
    alias.set_id(id);
    alias.set_address(address.wire());
    result_.plan.aliases.push_back({.id = id, .address = address, .destination = destination, .pod_index = pod_index});
    return &alias;
  }

  // After the new ones are held: an alias that is needed before and after is never retired between.
  void retire_aliases() {
    for (const AliasKey& key : std::exchange(held_before_, std::move(held_))) books_.aliases.release(key);
    for (const auto& [id, key] : books_.aliases.retired()) list_alias(id, key.address, false, PodSlots::kNone);
  }

  void list_local_pods() {
    for (const auto& [name, pod] : objects_.all<Pod>()) {
      if (pod.node != node_) continue;
      Enrolment enrolment = enrolment_of(pod, objects_);
      LocalPod local{.enrolled = enrolment.enrolled, .reason = std::move(enrolment.reason)};
      const LivePod* live = pod.addresses.empty() ? nullptr : pods_.by_address(pod.addresses.front());
      if (local.enrolled && (live == nullptr || live->pod != &pod || !is_captured(*live))) {
        local.enrolled = false;
        local.reason = "its address or its uid is another pod's, or the node is full: see the findings";
      }
      fill_workload({.pod = &pod, .uid = uid_of(pod), .addresses = pod.addresses, .captured = local.enrolled}, {},
                    local.workload);
      result_.local_pods.push_back(std::move(local));
    }
  }

  void sort_result() {
    v1::Mesh& mesh = result_.mesh;
    std::ranges::sort(*mesh.mutable_workloads(), {},
                      [](const auto& workload) -> const std::string& { return workload.uid(); });
    std::ranges::sort(*mesh.mutable_aliases(), {}, &v1::Alias::id);
    if (!services_.externals().empty()) {  // others are in the order of their names already
      std::ranges::sort(*mesh.mutable_services(), {}, [](const v1::Service& service) {
        return std::pair<std::string_view, std::string_view>(service.namespace_(), service.name());
      });
    }
    std::ranges::sort(result_.plan.pods, {}, &PlannedPod::uid);
    std::ranges::sort(result_.plan.aliases, {}, &PlannedAlias::id);
    std::ranges::sort(result_.plan.services, {},
                      [](const DirectService& direct) { return std::pair(direct.alias_id, direct.port); });
    sort_findings(result_.findings);
  }

  const ObjectSet& objects_;
  const std::string& node_;
  Books& books_;
  std::vector<AliasKey>& held_before_;
  CompiledMesh result_;
  Places places_;
  PodTable pods_;
  ServiceRegistry services_;
  DestinationRules rules_;
  VirtualServices routing_;
  GatewayRoutes gateway_routing_;
  std::unordered_map<std::string, uint32_t> slots_;  // of local captured pods, by uid
  std::unordered_map<IpAddress, Name> vip_owners_;
  std::vector<AliasKey> held_;
};

}  // namespace

CompiledMesh Compiler::compile(const ObjectSet& objects) { return Compilation(objects, node_, books_, held_).run(); }

}  // namespace leat::control
