// All objects, as one node sees them -> what its proxy acts on, what its kernel is told, and what is wrong with the
// objects.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/ip.h"
#include "control/alias_book.h"
#include "control/objects.h"
#include "control/pod_slots.h"
#include "leat.pb.h"

namespace leat::control {

// What the pod's annotations take out of the mesh.
struct Exclusions {
  std::vector<uint16_t> outbound_ports;
  std::vector<Cidr> outbound_cidrs;
  std::vector<uint16_t> inbound_ports;
  std::vector<Cidr> inbound_cidrs;
  bool operator==(const Exclusions&) const = default;
};

// A pod of this node that is to be captured.
struct PlannedPod {
  std::string uid;
  Name name;
  uint32_t index = PodSlots::kNone;
  std::vector<IpAddress> addresses;
  std::string netns_path;
  v1::MtlsMode mtls = v1::MTLS_PERMISSIVE;
  std::map<uint16_t, v1::MtlsMode> port_mtls;
  Exclusions exclusions;
  std::vector<uint16_t> probe_ports;  // ascending
};

struct PlannedAlias {
  uint32_t id = 0;
  IpAddress address;
  bool destination = false;              // connect() to `address` is captured; false: the id only decodes
  uint32_t pod_index = PodSlots::kNone;  // the address is that of this local captured pod
};

struct DirectEndpoint {
  IpAddress address;
  uint16_t port = 0;
  uint32_t pod_index = 0;
};

// A Service port with ready endpoints in captured pods of this node: the kernel serves their share by itself.
struct DirectService {
  uint32_t alias_id = 0;
  uint16_t port = 0;
  std::vector<DirectEndpoint> local;        // of the alias' IP family
  uint32_t remote_endpoints = 0;            // ready ones of the same family that the kernel can't serve
  std::optional<uint32_t> remote_alias_id;  // where their share goes; absent if there are none
};

// What the kernel of this node is told. Every list is sorted: pods by uid, aliases by id, services by alias id and
// port.
struct CapturePlan {
  std::vector<PlannedPod> pods;
  std::vector<PlannedAlias> aliases;
  std::vector<DirectService> services;  // empty unless same_node is direct
  v1::SameNode same_node = v1::SAME_NODE_DIRECT;
};

// A pod of this node, enrolled or not, and why: "label leat.dev/mesh on namespace shop", "hostNetwork".
struct LocalPod {
  v1::Workload workload;
  bool enrolled = false;
  std::string reason;
};

struct CompiledMesh {
  v1::Mesh mesh;  // sorted: workloads by uid, services by namespace and name, aliases by id (delta.h needs it)
  CapturePlan plan;
  std::vector<LocalPod> local_pods;             // by namespace and name
  std::vector<v1::Finding> findings;            // by file and line
  std::vector<v1::RouteStatus> route_statuses;  // of Gateway API routes: by kind, namespace and name
};

// The ids that must stay the same from one compilation to the next, and over restarts of the agent.
struct Books {
  AliasBook aliases;
  PodSlots pods;
};

// What an update made of the compilation before it.
struct Update {
  bool everything = false;  // it is the first one: all is new, and the lists below are empty
  v1::MeshChange mesh;      // as delta.h has it
  // Of the plan: pods, services or same_node; and aliases, by id.
  bool local = false;
  std::vector<PlannedAlias> aliases;      // new or changed
  std::vector<uint32_t> removed_aliases;  // not even decoded any more
  std::vector<uint32_t> opened;           // ids that connections may be sent to now, and not before
  bool findings = false;
  bool local_pods = false;
};

// Compiles again and again for one node.
//
// The mesh is compiled in parts: a workload a pod, a Service, the routes a VirtualService, a table a kind. update()
// makes those parts anew that something changed for, and everything where the change is of a rare kind; what it makes
// is to the letter what compile() makes of the same objects (tests/unit/control/incremental_test.cc edits at random and
// compares). A workload is made from its LivePod, its node's and namespace's objects and the policies; any other part
// notes what it reads (reads.h) while it is made.
//
// What whoever adds to it must see to:
//   a new field of an object       nothing, if parts read the object by a View or a LivePod
//   a new kind                     nothing: its changes compile everything, until it is in kTrackedKinds (reads.h)
//   a kind in kTrackedKinds        parts read it by a View; a table of it is made anew by Tables (tables.h), says
//                                  which Services it speaks of otherwise than before, and notes what it answers
//   a new input of a workload      make it whole (as PeerAuthentication), or see that update_workloads() (compile.cc)
//                                  hears of it
// and that the edits of the test know the field or kind: it fails where any of this was forgotten.
class Compiler {
 public:
  // `books` outlives the compiler. An alias that a compilation no longer needs is released, and stays in mesh and plan
  // as one that only decodes while the book remembers it: a connection may have begun with it. The agent holds source
  // ids of clients outside the model in the same book; those are not in the compiled mesh.
  Compiler(std::string node, Books& books);
  ~Compiler();

  // From nothing; all of it.
  CompiledMesh compile(const ObjectSet& objects);
  // What changed since the last call, which was about the same set.
  Update update(const ObjectSet& objects);

  // ---- what is compiled

  [[nodiscard]] const v1::MeshSettings& settings() const;
  [[nodiscard]] size_t workloads() const;
  [[nodiscard]] size_t services() const;
  [[nodiscard]] v1::Mesh mesh() const;
  [[nodiscard]] v1::Mesh local_mesh() const;                // the settings, and this node's captured pods as workloads
  [[nodiscard]] std::vector<PlannedAlias> aliases() const;  // of the plan
  [[nodiscard]] std::optional<PlannedAlias> alias(uint32_t id) const;        // likewise
  [[nodiscard]] CapturePlan local_plan() const;                              // all but its aliases
  [[nodiscard]] const std::vector<LocalPod>& local_pods() const;             // as CompiledMesh has them
  [[nodiscard]] const std::vector<v1::Finding>& findings() const;            // likewise
  [[nodiscard]] const std::vector<v1::RouteStatus>& route_statuses() const;  // likewise
  // By address or alias; nothing: not in the mesh.
  [[nodiscard]] std::optional<v1::Workload> workload_at(const IpAddress& address) const;
  [[nodiscard]] std::optional<Name> service_at(const IpAddress& vip) const;
  [[nodiscard]] std::optional<Name> service_of_alias(uint32_t id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leat::control
