// userspace-proxy/mesh: the mesh model as the proxy reads it. A Mesh is immutable: the control thread makes the next
// one from the last and what changed, the workers swap to it, and a connection keeps the one that it began with until
// it is established. Workloads and services that did not change are shared between generations, so that a flow record
// may hold one for as long as it likes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/access_filter.h"
#include "common/ip.h"
#include "leat.pb.h"
#include "userspace-proxy/balance/hash_table.h"
#include "userspace-proxy/mesh/live.h"
#include "userspace-proxy/mesh/policy.h"
#include "userspace-proxy/mesh/ref.h"
#include "userspace-proxy/mesh/shared_map.h"
#include "userspace-proxy/route/table.h"

namespace leat::proxy {

// What is to be seen of the requests of a local pod, where it is not what the mesh's settings say.
struct WorkloadTelemetry {
  std::optional<double> sampling_percent;
  bool tracing_disabled = false;
  std::vector<v1::TraceTag> tags;
  std::optional<bool> access_log;
  std::optional<AccessFilter> filter;  // nothing: all of them
};

// A pod.
struct Workload : RefCounted {
  std::string uid;
  std::string namespace_;
  std::string name;
  std::string service_account;
  std::string owner;         // the Deployment or such; where none is known, the pod's name
  std::string app, version;  // its labels of these names; empty: none
  route::Labels labels;      // of a local pod: what routes ask of a client
  std::vector<IpAddress> addresses;
  bool captured = false;  // reachable by HBONE, has an identity
  bool local = false;     // on this node
  bool ready = false;
  bool terminating = false;
  v1::MtlsMode mtls = v1::MTLS_PERMISSIVE;
  std::vector<std::pair<uint16_t, v1::MtlsMode>> port_mtls;
  std::unique_ptr<const WorkloadTelemetry> telemetry;  // null: nothing is said for this pod

  [[nodiscard]] v1::MtlsMode mtls_at(uint16_t port) const;
  [[nodiscard]] bool has_address(const IpAddress& address) const;
  [[nodiscard]] route::Client as_client() const { return {.namespace_ = namespace_, .labels = labels}; }
};
using WorkloadRef = Ref<const Workload>;

// Where one connection to a service may go.
struct Backend {
  SocketAddress target;
  std::string uid;               // of the pod; empty: not one
  WorkloadRef workload;          // null: not a pod that the mesh knows (yet)
  uint32_t weight = 1;           // ≥ 1
  uint32_t group = 0;            // of the port's groups
  Ref<const Policy> policy;      // its port's
  Ref<const HostHealth> health;  // where the policy watches it
};

// The HTTP routes of a Service: shared by its generations while only its workloads change.
struct Routes : RefCounted {
  explicit Routes(std::vector<route::Table> compiled) : tables(std::move(compiled)) {}
  std::vector<route::Table> tables;
};

struct Service : RefCounted {
  // The ready backends of one service port in one address family, for a client of IPv4 must be seen as one of IPv4;
  // those that the kernel can't join by itself (on other nodes, or outside the mesh) first. Of the whole Service, or of
  // one of its subsets.
  struct Port {
    uint16_t port = 0;
    bool ipv6 = false;
    v1::Protocol protocol = v1::PROTOCOL_TCP;
    std::string subset;  // empty: the whole Service
    uint64_t id = 0;     // in all generations the same
    std::vector<Backend> backends;
    size_t remote = 0;        // how many of them the kernel can't join
    uint32_t max_weight = 1;  // of all of them

    Ref<const Policy> policy;  // null: the defaults
    Ref<const LivePool> live;  // null where `policy` is
    // Where the policy makes groups, the backends stand group by group, the nearest first (and the remote ones not
    // first): where each one ends. Empty: they are one group.
    std::vector<uint32_t> group_ends;
    std::vector<Ref<const HashTable>> tables;  // by group, where the policy hashes

    [[nodiscard]] size_t groups() const { return group_ends.empty() ? 1 : group_ends.size(); }
    [[nodiscard]] std::span<const Backend> group(size_t index) const {
      if (group_ends.empty()) return backends;
      const size_t begin = index == 0 ? 0 : group_ends[index - 1];
      return std::span(backends).subspan(begin, group_ends[index] - begin);
    }
  };

  // What a DestinationRule that is not for all clients makes of this Service.
  struct ClientRule {
    std::vector<std::string> namespaces;  // of the clients, ascending
    std::vector<std::pair<std::string, std::string>> labels;
    Ref<const Service> service;  // in place of this one; has no client rules
  };

  std::string key;  // namespace/name
  std::string namespace_;
  std::string name;
  std::string rule;         // namespace/name of the DestinationRule, where it is for some clients only; else empty
  std::vector<Port> ports;  // of the whole Service first, in both families each, then of each subset
  std::vector<std::string> subsets;  // their names
  Ref<const Routes> routes;          // null: none
  bool external = false;             // its name is a host; what it does not say goes to the address that was asked for
  std::vector<std::string> visible_to;   // namespaces of clients, ascending; none: all
  std::vector<ClientRule> client_rules;  // the first one that a client is of holds for it

  [[nodiscard]] const Port* find_port(uint16_t port, bool ipv6, std::string_view subset = {}) const;
  [[nodiscard]] bool has_subset(std::string_view subset) const;
  [[nodiscard]] bool is_visible_to(std::string_view client_namespace) const;
  [[nodiscard]] std::span<const route::Table> route_tables() const {
    return routes ? std::span<const route::Table>(routes->tables) : std::span<const route::Table>();
  }
};
using ServiceRef = Ref<const Service>;

// The Service as `client` has it. Null stays null.
ServiceRef for_client(ServiceRef service, const route::Client& client);

// Where the destination of a route leads.
struct RouteTarget {
  enum class Missing : uint8_t { kNothing, kService, kSubset, kPort };
  Missing missing = Missing::kService;
  ServiceRef service;                   // null where it is missing
  const Service::Port* port = nullptr;  // null where anything is missing; may have no backend
};

// What an application asked for, decoded from the alias that it was given.
struct Destination {
  IpAddress address;     // the pod IP or VIP behind the alias
  WorkloadRef workload;  // exactly one of these two, or none where the target has left the model since
  ServiceRef service;
  bool remote_only = false;        // the kernel has given the local backends their share already
  std::vector<ServiceRef> others;  // external ones with the same address, which `service` then is too

  // Of those with this address the one whose host covers `host` (a name in TLS, or an authority), by the most of it; of
  // several without such a name, none. Alone, whoever is asked for.
  [[nodiscard]] ServiceRef service_of(std::string_view host, uint16_t port) const;
  // What the bytes of a connection to `port` are taken for: detected, where those with this address differ.
  [[nodiscard]] v1::Protocol protocol_at(uint16_t port) const;
};

// For TLS to servers outside the mesh.
struct Secret : RefCounted {
  explicit Secret(v1::TlsSecret given) : pem(std::move(given)) {}
  v1::TlsSecret pem;
};

class Mesh : public RefCounted {
 public:
  Mesh() = default;

  // The model after `change`. What is malformed in it is left out and named in `problems` (one sentence each).
  static Ref<const Mesh> apply(const Mesh& base, const v1::MeshChange& change, std::vector<std::string>* problems);
  static Ref<const Mesh> build(v1::Mesh mesh, std::vector<std::string>* problems);

  [[nodiscard]] const v1::MeshSettings& settings() const { return settings_; }
  // Of routes that say nothing of retries.
  [[nodiscard]] const RetryPolicy& retries() const { return retries_; }
  // Null where the model has no such pod.
  [[nodiscard]] WorkloadRef workload(std::string_view uid) const;
  [[nodiscard]] WorkloadRef workload_at(const IpAddress& address) const;
  [[nodiscard]] ServiceRef service(std::string_view key) const;
  template <typename Visit>
  void each_service(Visit visit) const {
    services_.for_each([&](const std::string&, const ServiceRef& service) { visit(*service); });
  }
  // `requested_port` is the one that the client asked for, where the destination names none.
  [[nodiscard]] RouteTarget resolve(const route::Destination& destination, uint16_t requested_port, bool ipv6,
                                    const route::Client& client) const;
  // By the local address of an accepted connection; nothing if that is no alias that the model hands to clients.
  [[nodiscard]] std::optional<Destination> destination(const IpAddress& local) const;
  // The id that shows `address` to an application as its peer.
  [[nodiscard]] std::optional<uint32_t> alias_of(const IpAddress& address) const;
  // Service accounts (namespace, name) of this node's captured pods: those that need a certificate here.
  [[nodiscard]] std::set<std::pair<std::string, std::string>> local_service_accounts() const;

 private:
  enum class Target : uint8_t { kNone, kWorkload, kService };
  struct Alias {
    IpAddress address;
    Target target = Target::kNone;
    bool remote_only = false;
    std::string key;  // uid or namespace/name
    std::vector<std::string> others;
  };

  void remove_workload(std::string_view uid);
  void remove_alias(uint32_t id);
  void upsert_workload(const v1::Workload& message, std::vector<std::string>* problems);
  void upsert_service(const v1::Service& message, std::vector<std::string>* problems);
  void upsert_alias(const v1::Alias& message, std::vector<std::string>* problems);
  // Points the backends of `service` at the workloads of this model and sorts them.
  // Then makes their groups and hash tables.
  void link(Service& service) const;
  void relink_services_of(const std::set<std::string, std::less<>>& workloads);

  v1::MeshSettings settings_;
  RetryPolicy retries_;
  SharedMap<std::string, WorkloadRef, TextHash> workloads_;
  SharedMap<std::string, WorkloadRef, TextHash> local_;  // those of them that are captured on this node
  SharedMap<std::string, ServiceRef, TextHash> services_;
  SharedMap<IpAddress, WorkloadRef> by_address_;
  SharedMap<uint32_t, Alias> aliases_;
  SharedMap<IpAddress, uint32_t> alias_by_address_;
  std::map<std::string, Ref<const Secret>, std::less<>> secrets_;
};
using MeshRef = Ref<const Mesh>;

}  // namespace leat::proxy
