// Capture: everything that Leat has in the kernel of one node, behind one class.
//
// Owns the BPF programs, links and maps (pinned, so that they outlive the agent), the listeners inside pods' network
// namespaces, the IPv6 alias route there, and the broker that makes sockets in those namespaces. Used by the agent
// alone. It knows indexes, ids and addresses; Services, policies and Kubernetes are compiled away before a Plan gets
// here. One thread; not thread-safe: calls move the calling thread into pods' network namespaces and back. docs:
// architecture.md, "Capture: the address is the key".
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/ip.h"
#include "common/result.h"
#include "common/unique_fd.h"
#include "leat.pb.h"

namespace leat::capture {

struct Options {
  std::string bpffs;           // folder for our pins, on a bpffs; made if absent
  std::string pods_cgroup;     // cgroup2 folder: every captured pod's processes are below it
  std::string agent_cgroup;    // cgroup2 folder of the agent: broker sockets are made there
  std::string kubelet_cgroup;  // cgroup2 folder whose processes probe pods; empty: probes are not vouched for
};

// ---------------------------------------------------------------- what is wanted

struct Exclusions {
  std::vector<uint16_t> ports;
  std::vector<Cidr> cidrs;
};

struct PodSpec {
  std::string uid;
  uint32_t index = 0;                // 0 … 1023, the pod's row in every map; not reused while the pod is in the plan
  std::vector<IpAddress> addresses;  // at most one of each family
  std::string netns_path;            // a file that is the pod's network namespace
  bool strict = false;
  std::map<uint16_t, v1::MtlsMode> port_mtls;  // exceptions to `strict`, by the application's port
  Exclusions outbound;                         // destination ports and addresses that connect() leaves alone
  Exclusions inbound;                 // local ports, and client addresses, that reach the application untouched
  std::vector<uint16_t> probe_ports;  // where the kubelet may come in plaintext under STRICT
};

// An id and the address that it stands for. Several ids may have one address ("remote endpoints only"), one of them as
// destination.
struct AliasSpec {
  uint32_t id = 0;  // 0 … LEAT_ALIAS_ID_MAX
  IpAddress address;
  bool destination = false;  // connect() to `address` is rewritten to this id; otherwise the id is only ever decoded
};

struct DirectBackend {
  IpAddress address;  // of a local enrolled pod, same family as the destination
  uint16_t port = 0;
  uint32_t pod_index = 0;
};

// One destination port that needs nothing of user space: the kernel takes the local endpoints' share of its
// connections.
struct DirectService {
  uint32_t alias_id = 0;
  uint16_t port = 0;  // as the application asks for it
  std::vector<DirectBackend> local;
  uint32_t remote_endpoints = 0;  // how many more there are elsewhere
  uint32_t remote_alias_id = 0;   // where their share goes; used only if remote_endpoints > 0
};

// A node's pods and shares are few, and always all of them. The aliases are as many as the mesh has addresses: a plan
// names all, or what changed of them since the last one.
struct Plan {
  std::vector<PodSpec> pods;
  std::vector<AliasSpec> aliases;
  std::vector<DirectService> direct;
  v1::SameNode same_node = v1::SAME_NODE_DIRECT;
  bool all_aliases = true;                // false: others stay as they are, but for these:
  std::vector<uint32_t> removed_aliases;  // ids
};

struct PodFailure {
  std::string uid;
  Error error;
};

// What apply() could not do. The rest is in force.
struct Report {
  std::vector<PodFailure> failed_pods;  // left uncaptured, or released
  std::vector<std::string> notes;       // degraded but working: sentences for a person
};

// ---------------------------------------------------------------- what is there

struct Listener {
  v1::ListenerId id;
  int fd = -1;  // borrowed; -1: somebody else (a proxy) holds it since before this agent started
};

// A connection that the kernel joined, application to application.
struct DirectFlow {
  uint64_t socket_cookie = 0;
  uint32_t client_pod = 0;
  uint32_t backend_pod = 0;
  uint32_t alias_id = 0;
  SocketAddress client;
  SocketAddress requested;      // what the application asked for
  SocketAddress backend;        // where it went
  uint64_t bytes_sent = 0;      // payload, by the client
  uint64_t bytes_received = 0;  // payload, by the client
  std::chrono::system_clock::time_point opened;
  std::chrono::system_clock::time_point closed;  // epoch: still open
  int error = 0;                                 // closed ones: errno of the socket; 0: closed in order
  bool established = false;
};

// A connection of a pod that never met Leat (or was there before it).
struct UntouchedFlow {
  SocketAddress local;
  SocketAddress remote;
  bool inbound = false;  // the pod listens on the local port
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t inode = 0;
};

// The live connections of a pod that meet no proxy; direct ones are their client's.
struct KernelFlows {
  std::vector<DirectFlow> direct;
  std::vector<UntouchedFlow> untouched;
};

// Totals of kernel-direct connections between two pods by one destination; they survive agent restarts and end with
// either pod.
struct DirectEdge {
  uint32_t client_pod = 0;
  uint32_t backend_pod = 0;
  uint32_t alias_id = 0;
  uint16_t port = 0;
  uint64_t opened = 0, closed = 0, failed = 0, bytes_sent = 0, bytes_received = 0;
};

struct CounterValue {
  std::string name;  // snake_case, from bpf/counters.h
  std::string help;
  uint32_t pod_index = kNoPod;  // kNoPod: not of one pod
  uint64_t value = 0;
  static constexpr uint32_t kNoPod = 0xffffffff;
};

struct MapFill {
  std::string name;
  uint32_t entries = 0;
  uint32_t capacity = 0;
  std::string when_full;  // what happens then
  bool evicts = false;    // a full one is normal: the oldest entry makes room
};

// One thing that capture needs, or is better with.
struct Feature {
  std::string name;
  bool ok = false;
  bool needed = false;  // open() fails without it
  std::string cure;     // what to do, where not ok
};

// What this kernel offers. Needs CAP_BPF; changes nothing.
std::vector<Feature> probe_features(const Options& options);

// Removes every pin, link, listener slot and route that any agent left under `options`, then looks whether anything is
// left: an error names it. Works without a Capture; established connections through IPv6 aliases end with it.
Result<void> uninstall(const Options& options);

class Capture {
 public:
  // Loads the programs and attaches them, or takes over what an earlier agent pinned, with no moment uncaptured. Fails,
  // naming cgroup, program and cure, where a foreign cgroup program would be silenced or would refuse ours. Destroying
  // the object leaves all in force.
  static Result<std::unique_ptr<Capture>> open(const Options& options);
  ~Capture();

  // Makes the kernel be as `plan` says. Idempotent: only differences are written. Strictness goes in before anything is
  // opened; a new pod is captured only when its listeners and its inbound program are in place. One pod's failure
  // leaves the others alone. An error means that the maps themselves failed (full, or taken away).
  Result<Report> apply(const Plan& plan);

  // ---- listeners. One a role and family a pod; made by apply() for new pods, with epoch 1 or the next one never used
  // for that place.

  [[nodiscard]] std::vector<Listener> listeners() const;
  // Takes over a listener that a proxy held for us. Refused unless it is the very socket that the kernel's slot or
  // record names.
  Result<void> adopt_listener(const v1::ListenerId& id, UniqueFd socket);
  // Replaces a dead listener. `id` names the one that died; if it has been replaced already, the present one is
  // returned.
  Result<Listener> rebuild_listener(const v1::ListenerId& id);
  // Makes anew every listener that nobody has given back since a restart. Returns the new ones.
  Result<std::vector<Listener>> rebuild_missing();

  // No proxy for too long: empties every listener slot. PERMISSIVE pods go untouched, STRICT ones are refused, at once.
  // Idempotent.
  void close_slots();
  // A proxy is here again. Idempotent.
  void open_slots();

  // ---- the broker: `count` (1 … 32) unconnected, non-blocking TCP sockets of the pod's namespace, marked as the
  // proxy's for this pod.
  Result<std::vector<UniqueFd>> make_sockets(const std::string& pod_uid, bool ipv6, uint32_t count);

  // ---- flows and numbers

  Result<KernelFlows> kernel_flows(const std::string& pod_uid);
  [[nodiscard]] int closed_flows_fd() const;    // readable (epoll) when direct flows have closed
  std::vector<DirectFlow> take_closed_flows();  // never blocks
  Result<std::vector<DirectEdge>> direct_edges();
  Result<std::vector<CounterValue>> counters();  // zero ones are left out
  Result<std::vector<MapFill>> map_fills();
  [[nodiscard]] const std::vector<Feature>& features() const;
  // Every hook that should be attached, as the kernel says now; `ok` false: somebody detached it.
  [[nodiscard]] std::vector<Feature> hooks() const;
  // The network namespace's cookie of an applied pod; 0 if unknown.
  [[nodiscard]] uint64_t netns_cookie(const std::string& pod_uid) const;

 private:
  class Impl;
  explicit Capture(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace leat::capture
