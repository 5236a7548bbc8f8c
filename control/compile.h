// All objects, as one node sees them -> what its proxy acts on, what its kernel is told, and what is wrong with the
// objects.
#pragma once

#include <cstdint>
#include <map>
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

// Compiles again and again for one node. Between two calls it remembers only which ids it holds in the books.
class Compiler {
 public:
  // `books` outlives the compiler. An alias that a compilation no longer needs is released, and stays in mesh and plan
  // as one that only decodes while the book remembers it: a connection may have begun with it. The agent holds source
  // ids of clients outside the model in the same book; those are not in the compiled mesh.
  Compiler(std::string node, Books& books) : node_(std::move(node)), books_(books) {}
  CompiledMesh compile(const ObjectSet& objects);

 private:
  std::string node_;
  Books& books_;
  std::vector<AliasKey> held_;
};

}  // namespace leat::control
