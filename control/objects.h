// control/: Kubernetes objects in, mesh model out. Pure functions of their arguments: no file, socket, clock or global
// state; the agent and `leat lint` call it.
//
//   parse.h      one YAML document -> objects and findings
//   compile.h    all objects, as one node sees them -> the mesh model, the node's capture plan, findings, and what
//                changed in them
//   delta.h      two mesh models -> what changed
//
// This file: the objects, reduced to what Leat reads of them.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "common/ip.h"
#include "control/traffic_policy.h"
#include "leat.pb.h"

namespace leat::control {

using Labels = std::map<std::string, std::string>;

struct Source {
  std::string file;
  int line = 0;  // of the object's first line, from 1
  bool operator==(const Source&) const = default;
};

// What stands before the slash is empty for cluster-scoped kinds.
struct Name {
  std::string ns;
  std::string name;
  [[nodiscard]] std::string text() const { return ns.empty() ? name : ns + "/" + name; }
  auto operator<=>(const Name&) const = default;
};

struct Meta {
  Name name;
  std::string uid;      // may be empty: files written by hand have none
  std::string created;  // RFC 3339 in UTC, so that text order is age order; may be empty
  bool terminating = false;
  std::string owner;  // the controller that the object belongs to, empty where there is none
  Labels labels;
  Labels annotations;
  Source source;
  bool operator==(const Meta&) const = default;
};

// Of two objects that say different things of the same, the older one holds. One without a date, as files written by
// hand have it, is younger than one that has one; then the order of the names decides.
bool is_older(const Meta& left, const Meta& right);

// All of `wanted` are in `labels`.
bool selects(const Labels& wanted, const Labels& labels);

struct Namespace {
  static constexpr std::string_view kKind = "Namespace";
  Meta meta;
};

struct Node {
  static constexpr std::string_view kKind = "Node";
  Meta meta;
};

// What pods that name it are run by.
struct RuntimeClass {
  static constexpr std::string_view kKind = "RuntimeClass";
  Meta meta;
  std::string handler;
};

struct ContainerPort {
  std::string name;
  uint16_t port = 0;
  bool operator==(const ContainerPort&) const = default;
};

struct Pod {
  static constexpr std::string_view kKind = "Pod";
  Meta meta;
  std::string node;  // empty: not scheduled
  std::string service_account;
  bool host_network = false;
  std::string runtime_class;         // empty: the node's default
  std::vector<ContainerPort> ports;  // TCP only
  std::vector<uint16_t> probe_ports;
  std::string phase;          // empty: taken as Running
  std::optional<bool> ready;  // the condition Ready; absent: taken as ready
  std::vector<IpAddress> addresses;
  std::string netns_path;  // of its network namespace, on the node that it runs on; empty: not known
  bool leaving = false;    // asked out of the mesh, and in it until the other nodes know
  bool published = false;  // it is another node's: known by what the agent there says of the pods that it has captured
  bool operator==(const Pod&) const = default;
};
using PodPtr = std::shared_ptr<const Pod>;

// What a node says of the pods there that it has captured: the rest of the mesh knows them by it.
struct NodeWorkloads {
  static constexpr std::string_view kKind = "NodeWorkloads";
  Meta meta;
  std::string node;
  std::vector<Pod> pods;  // on that node, each with an address
};

struct TargetPort {
  uint16_t number = 0;
  std::string name;  // names a container's port where `number` is 0
};

struct ServicePortSpec {
  std::string name;
  uint16_t port = 0;
  TargetPort target;
  std::string app_protocol;
};

struct Service {
  static constexpr std::string_view kKind = "Service";
  Meta meta;
  bool external_name = false;
  bool headless = false;
  bool publish_not_ready = false;
  std::vector<IpAddress> vips;
  std::vector<ServicePortSpec> ports;  // TCP only
  Labels selector;
  bool client_ip_affinity = false;
  // Of a ServiceEntry's host:
  bool external = false;
  bool as_asked = false;  // its endpoints are its addresses, and connections go to the one that they asked for
  std::optional<std::vector<std::string>> visible_to;  // namespaces of clients, ascending; absent: all
  std::vector<std::string> subject_alt_names;          // that its servers prove
  std::string traffic_distribution;                    // PreferClose, PreferSameZone, PreferSameNode; empty: none
};

struct SliceEndpoint {
  std::vector<IpAddress> addresses;
  std::string node;
  std::string zone;
  std::optional<std::vector<std::string>> for_zones;  // the hints; absent: it has none
  std::optional<std::vector<std::string>> for_nodes;
  bool ready = true;
  bool serving = true;
  bool terminating = false;
};

struct SlicePort {
  std::string name;
  uint16_t port = 0;
};

struct EndpointSlice {
  static constexpr std::string_view kKind = "EndpointSlice";
  Meta meta;
  std::string service;           // its label kubernetes.io/service-name
  std::vector<SlicePort> ports;  // TCP only
  std::vector<SliceEndpoint> endpoints;
};

// A mode that is not given (or UNSET) is inherited from the next wider policy.
using Mode = std::optional<v1::MtlsMode>;

struct PeerAuthentication {
  static constexpr std::string_view kKind = "PeerAuthentication";
  Meta meta;
  Labels selector;
  Mode mode;
  std::map<uint16_t, Mode> port_modes;  // by the application's port
};

// A place in an object that a finding can name later.
struct Place {
  std::string field;  // "spec.http[0].route[1]"
  int line = 0;
};

struct RouteDestination {
  std::string host;
  std::string subset;
  uint16_t port = 0;    // 0: not given
  uint32_t weight = 0;  // a share, as it counts: the sum over a route is never 0
  v1::HeaderEdits headers;
  Place place;
};

// Copies of a share of the requests go there too.
struct MirrorSpec {
  RouteDestination to;
  double percent = 100;
};

struct HttpRoute {
  std::string name;
  std::vector<v1::RouteMatch> matches;         // none: every request
  std::vector<RouteDestination> destinations;  // none where `actions` answer
  std::vector<MirrorSpec> mirrors;
  v1::HttpRoute actions;         // all but its name, matches, destinations, mirrors and origin
  std::optional<Name> delegate;  // the VirtualService whose entries stand here instead
  Place place;
};

// Of an opaque connection, or of one of TLS by its name.
struct ConnectionRoute {
  std::vector<v1::ConnectionMatch> matches;  // none: every connection
  std::vector<RouteDestination> destinations;
  Place place;
};

struct RouteHost {
  std::string host;
  Place place;
};

struct VirtualService {
  static constexpr std::string_view kKind = "VirtualService";
  Meta meta;
  std::vector<RouteHost> hosts;                        // none: others may delegate to it
  bool in_mesh = true;                                 // it holds for clients in the mesh, not (only) for gateways
  std::optional<std::vector<std::string>> visible_to;  // namespaces, ascending; absent: all
  std::vector<HttpRoute> http;
  std::vector<ConnectionRoute> tls;
  std::vector<ConnectionRoute> tcp;
  [[nodiscard]] bool routes_anything() const { return !http.empty() || !tls.empty() || !tcp.empty(); }
};

// What a Gateway API route names: another object, of a group and kind that may be none of Leat's.
struct ObjectRef {
  std::string group;
  std::string kind;
  Name name;
  uint16_t port = 0;  // 0: not given
  Place place;
};

struct BackendRef {
  ObjectRef to;
  uint32_t weight = 1;
  v1::HeaderEdits headers;
};

struct GatewayRule {
  std::string name;
  std::vector<v1::RouteMatch> matches;  // one at least
  std::vector<BackendRef> backends;
  std::vector<std::pair<BackendRef, double>> mirrors;  // and their percentage
  v1::HttpRoute actions;                               // all but its name, matches, destinations, mirrors and origin
  Place place;
};

// What HTTPRoute and GRPCRoute have in common once they are read.
struct GatewayRouteSpec {
  std::vector<ObjectRef> parents;
  std::vector<GatewayRule> rules;
};

struct GatewayHttpRoute {
  static constexpr std::string_view kKind = "HTTPRoute";
  Meta meta;
  GatewayRouteSpec spec;
};

struct GatewayGrpcRoute {
  static constexpr std::string_view kKind = "GRPCRoute";
  Meta meta;
  GatewayRouteSpec spec;
};

// Lets routes of other namespaces lead to Services of its own.
struct ReferenceGrant {
  static constexpr std::string_view kKind = "ReferenceGrant";
  struct From {
    std::string kind;
    std::string ns;
  };
  Meta meta;
  std::vector<From> from;
  std::optional<std::vector<std::string>> services;  // absent: all
};

struct ServiceEntryEndpoint {
  IpAddress address;
  std::string host;                       // in place of an address: to be resolved
  std::map<std::string, uint16_t> ports;  // by name; others are the entry's
  uint32_t weight = 1;
  Labels labels;
  std::string locality;  // region/zone/subzone; empty: not known
};

// A Service that Kubernetes knows nothing of.
struct ServiceEntry {
  static constexpr std::string_view kKind = "ServiceEntry";
  Meta meta;
  std::vector<std::string> hosts;  // in lower case; some begin with "*."
  std::vector<IpAddress> addresses;
  std::vector<ServicePortSpec> ports;
  std::string resolution;
  std::vector<ServiceEntryEndpoint> endpoints;
  Labels workloads;                                    // pods of its namespace, instead of `endpoints`; empty: none
  bool in_mesh = false;                                // its location
  std::optional<std::vector<std::string>> visible_to;  // namespaces of clients, ascending; absent: all
  std::vector<std::string> subject_alt_names;          // that its servers prove, where a DestinationRule asks for TLS
  Place place;                                         // of `resolution`

  [[nodiscard]] bool is_resolved() const { return resolution == "DNS" || resolution == "DNS_ROUND_ROBIN"; }
};

// What the agent's resolver knows of a host, which is the object's name.
struct HostAnswer {
  static constexpr std::string_view kKind = "HostAnswer";
  Meta meta;
  std::vector<IpAddress> addresses;
  std::string problem;  // why there is none
};

// A file with credentials that a DestinationRule names, as the agent has read it: its path is the object's name.
struct TlsFile {
  static constexpr std::string_view kKind = "TlsFile";
  Meta meta;
  std::string content;
  std::string problem;  // why there is none
};

// What the agent's own configuration says of the whole mesh; named default.
struct AgentSettings {
  static constexpr std::string_view kKind = "AgentSettings";
  Meta meta;
  bool ambient_label = false;  // Istio ambient's labels ask for pods as well (enrolment.h)
};

// Credentials that a user gives for TLS to servers outside the mesh.
struct Secret {
  static constexpr std::string_view kKind = "Secret";
  Meta meta;
  v1::TlsSecret pem;  // without its key
};

struct SubsetSpec {
  std::string name;
  Labels labels;
  TrafficPolicySpec policy;
  Place place;
};

struct DestinationRule {
  static constexpr std::string_view kKind = "DestinationRule";
  Meta meta;
  std::string host;
  std::optional<std::vector<std::string>> visible_to;  // namespaces of clients, ascending; absent: all
  std::optional<Labels> clients;                       // pods of its own namespace, instead of `visible_to`
  TrafficPolicySpec policy;
  Place policy_place;
  std::vector<SubsetSpec> subsets;
};

// Kubernetes' form of a selector. Empty: it selects everything.
struct LabelExpression {
  enum class Operator : uint8_t { kIn, kNotIn, kExists, kDoesNotExist };
  std::string key;
  Operator op = Operator::kExists;
  std::vector<std::string> values;
};
struct LabelSelector {
  Labels labels;
  std::vector<LabelExpression> expressions;
};
bool selects(const LabelSelector& wanted, const Labels& labels);

struct PolicyPeer {
  std::optional<LabelSelector> pods;        // absent: all of the namespaces
  std::optional<LabelSelector> namespaces;  // absent: the policy's own
  std::optional<Cidr> block;                // instead of both
  std::vector<Cidr> except;                 // parts of the block
};

// TCP only. A name is the container's port of that name in the pod that is connected to.
struct PolicyPort {
  std::string name;
  uint16_t first = 1;
  uint16_t last = 65535;
};

struct PolicyRule {
  std::vector<PolicyPeer> peers;  // none: everybody
  bool all_ports = false;
  std::vector<PolicyPort> ports;  // none, and not all: no TCP
  Place ports_place;
};

struct NetworkPolicy {
  static constexpr std::string_view kKind = "NetworkPolicy";
  Meta meta;
  LabelSelector pods;
  std::optional<std::vector<PolicyRule>> ingress;  // absent: this direction is not limited; empty: nothing passes
  std::optional<std::vector<PolicyRule>> egress;
};

// What it says of the requests that pods send. Absent: a wider object, or the mesh, says it.
struct Telemetry {
  static constexpr std::string_view kKind = "Telemetry";
  Meta meta;
  Labels selector;
  std::optional<double> sampling_percent;
  std::optional<bool> tracing_disabled;
  std::optional<std::vector<v1::TraceTag>> tags;
  struct AccessLog {
    bool on = true;
    std::string filter;  // valid; empty: everything
  };
  std::optional<AccessLog> access_log;
};

struct Mesh {
  static constexpr std::string_view kKind = "Mesh";
  Meta meta;
  v1::MeshSettings settings;                    // whole: what the object leaves out has its default
  std::vector<std::string> sandboxed_runtimes;  // handlers, besides those that are known (runtimes.h)
};

using Object =
    std::variant<Namespace, Node, RuntimeClass, Pod, NodeWorkloads, Service, EndpointSlice, PeerAuthentication,
                 VirtualService, DestinationRule, ServiceEntry, HostAnswer, TlsFile, AgentSettings, Secret,
                 GatewayHttpRoute, GatewayGrpcRoute, ReferenceGrant, NetworkPolicy, Telemetry, Mesh>;

inline const Meta& meta_of(const Object& object) {
  return std::visit([](const auto& some) -> const Meta& { return some.meta; }, object);
}
inline std::string_view kind_of(const Object& object) {
  return std::visit([](const auto& some) { return some.kKind; }, object);
}

// An object that several hold.
template <typename... Kind>
std::variant<std::shared_ptr<const Kind>...> pointers_to(std::variant<Kind...>);
using ObjectPtr = decltype(pointers_to(std::declval<Object>()));
ObjectPtr share(Object object);
inline const Meta& meta_of(const ObjectPtr& object) {
  return std::visit([](const auto& some) -> const Meta& { return some->meta; }, object);
}
inline std::string_view kind_of(const ObjectPtr& object) {
  return std::visit([](const auto& some) { return some->kKind; }, object);
}

struct ObjectKey {
  std::string_view kind;  // one of the kKind above
  Name name;
  auto operator<=>(const ObjectKey&) const = default;
};
inline ObjectKey key_of(const Object& object) { return {kind_of(object), meta_of(object).name}; }
inline ObjectKey key_of(const ObjectPtr& object) { return {kind_of(object), meta_of(object).name}; }

// How a finding names an object: "Pod shop/frontend".
std::string describe(std::string_view kind, const Name& name);

// All objects in force, each kind in the order of its names. An object never changes: another one takes its place, and
// who holds the former one keeps it. Remembers which names the latest changes were about, so that who has looked before
// need not look at everything again.
class ObjectSet {
 public:
  void put(Object object);            // replaces the one of the same kind and name
  void put(ObjectPtr object);         // the same, shared with the caller
  void remove(const ObjectKey& key);  // nothing happens if there is none

  // Pairs of a name and an object.
  template <typename Kind>
  [[nodiscard]] auto all() const {
    return std::views::transform(
        of<Kind>(), [](const auto& entry) { return std::pair<const Name&, const Kind&>(entry.first, *entry.second); });
  }
  // The first object at or after `name`; null: none.
  template <typename Kind>
  [[nodiscard]] const Kind* first_from(const Name& name) const {
    const auto found = of<Kind>().lower_bound(name);
    return found == of<Kind>().end() ? nullptr : found->second.get();
  }
  template <typename Kind>
  [[nodiscard]] const Kind* find(const Name& name) const {
    const auto found = of<Kind>().find(name);
    return found == of<Kind>().end() ? nullptr : found->second.get();
  }
  template <typename Kind>
  [[nodiscard]] std::shared_ptr<const Kind> share(const Name& name) const {
    const auto found = of<Kind>().find(name);
    return found == of<Kind>().end() ? nullptr : found->second;
  }
  [[nodiscard]] size_t size() const;

  // Counts up with every put() and remove().
  [[nodiscard]] uint64_t version() const { return version_; }
  // What was put or removed after `version`, each key once; nothing: too much, or too long ago.
  [[nodiscard]] std::optional<std::vector<ObjectKey>> changed_since(uint64_t version) const;

  static constexpr size_t kRememberedChanges = 4096;  // beyond that everything is looked at, which is quicker then

 private:
  template <typename Kind>
  using KindMap = std::map<Name, std::shared_ptr<const Kind>>;
  template <typename Kind>
  [[nodiscard]] const KindMap<Kind>& of() const {
    return std::get<KindMap<Kind>>(kinds_);
  }
  void note(ObjectKey key);

  // One map for each kind that an Object may be.
  template <typename... Kind>
  static std::tuple<KindMap<Kind>...> maps_of(std::variant<Kind...>);
  decltype(maps_of(std::declval<Object>())) kinds_;
  uint64_t version_ = 0;
  std::deque<ObjectKey> changes_;  // the last of them is that of version_
};

}  // namespace leat::control
