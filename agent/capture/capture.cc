#include "agent/capture/capture.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "agent/capture/best_effort.h"
#include "agent/capture/bpf_map.h"
#include "agent/capture/closed_flows.h"
#include "agent/capture/features.h"
#include "agent/capture/limits.h"
#include "agent/capture/listener_table.h"
#include "agent/capture/netns.h"
#include "agent/capture/numbers.h"
#include "agent/capture/programs.h"
#include "agent/capture/sock_diag.h"
#include "agent/capture/sockets.h"
#include "agent/capture/tables.h"
#include "common/log.h"

namespace leat::capture {

namespace {

// The namespace file as the file system knows it: cheap to ask, and not reused while we hold sockets in the namespace.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

FileIdentity identity_of(const std::string& path) {
  struct stat file{};
  if (stat(path.c_str(), &file) != 0) return {};
  return {.device = file.st_dev, .inode = file.st_ino};
}

// A pod that is captured now.
struct Captured {
  uint32_t index = 0;
  uint64_t cookie = 0;
  std::string path;
  FileIdentity file;
  leat_pod row{};
};

bool has_v4(const leat_pod& row) { return row.v4.word[2] != 0; }
bool has_v6(const leat_pod& row) { return row.v6.word[0] != 0 || row.v6.word[3] != 0; }

leat_namespace namespace_row(const PodSpec& pod, const leat_pod& row) {
  leat_namespace home{.pod = pod.index, .pad = 0, .v4 = row.v4, .v6 = row.v6, .uid = {}, .path = {}};
  pod.uid.copy(home.uid, sizeof home.uid - 1);
  pod.netns_path.copy(home.path, sizeof home.path - 1);
  return home;
}

// Whether the namespace of this cookie is still to be found at `path`.
bool is_namespace(const std::string& path, uint64_t cookie) {
  const auto there = NetnsScope::enter(path);
  if (!there) return false;
  const auto found = current_netns_cookie();
  return found && *found == cookie;
}

}  // namespace

class Capture::Impl {
 public:
  static Result<std::unique_ptr<Impl>> open(const Options& options);

  Result<Report> apply(const Plan& plan);
  Result<Listener> rebuild_listener(const v1::ListenerId& id);
  Result<std::vector<Listener>> rebuild_missing();
  Result<std::vector<UniqueFd>> make_sockets(const std::string& uid, bool ipv6, uint32_t count);
  Result<KernelFlows> kernel_flows(const std::string& uid);
  std::vector<Feature> hooks() const;

  const Captured* find(const std::string& uid) const {
    const auto found = captured_.find(uid);
    return found == captured_.end() ? nullptr : &found->second;
  }

  ListenerTable listeners;
  ClosedFlows closed_flows;
  Numbers numbers;
  std::vector<Feature> features;

 private:
  struct Maps {
    Table<uint32_t, leat_pod> pods;
    Table<uint64_t, leat_namespace> namespaces;
    Table<leat_ip, uint32_t> pod_addresses;
    Table<leat_port_key, uint32_t> pod_ports;
    Table<leat_network_key, uint8_t> excluded_networks;
    Table<leat_ip, uint32_t> destinations;
    Table<uint32_t, leat_ip> alias_addresses;
    Table<leat_service_key, leat_service> services;
    Table<leat_service_key, leat_backend> backends;
    BpfMap<uint64_t, leat_ports> proxy_ports;  // the programs write it
    BpfMap<int, leat_flow> flows;              // socket storage: only its descriptor is used
    static Result<Maps> open(const std::string& folder);
  };

  Impl(Programs programs, Maps maps, ListenerTable listener_table, ClosedFlows closed, Numbers counted)
      : listeners(std::move(listener_table)),
        closed_flows(std::move(closed)),
        numbers(std::move(counted)),
        programs_(std::move(programs)),
        maps_(std::move(maps)) {}

  Result<void> write_settings(const std::string& folder);
  Result<void> resume();
  std::vector<const PodSpec*> wanted_pods(const Plan& plan, Report& report) const;
  bool is_same_pod(const PodSpec& pod, const Captured& captured) const;
  Result<void> release(const std::string& uid, bool comes_back = false);
  void clear(uint32_t pod_index);
  Result<void> capture(const PodSpec& pod, Report& report);
  Result<void> capture_inside(const PodSpec& pod, const leat_pod& row, int netns_fd, Report& report);
  Result<void> forget_dead_namespaces();

  Programs programs_;
  Maps maps_;
  uint64_t host_cookie_ = 0;
  std::unordered_map<std::string, Captured> captured_;  // by UID
};

// ---------------------------------------------------------------- opening

Result<Capture::Impl::Maps> Capture::Impl::Maps::open(const std::string& folder) {
  LEAT_TRY(auto pods, (Table<uint32_t, leat_pod>::open(folder, "pods")));
  LEAT_TRY(auto namespaces, (Table<uint64_t, leat_namespace>::open(folder, "namespaces")));
  LEAT_TRY(auto pod_addresses, (Table<leat_ip, uint32_t>::open(folder, "pod_addresses")));
  LEAT_TRY(auto pod_ports, (Table<leat_port_key, uint32_t>::open(folder, "pod_ports")));
  LEAT_TRY(auto excluded, (Table<leat_network_key, uint8_t>::open(folder, "excluded_networks")));
  LEAT_TRY(auto destinations, (Table<leat_ip, uint32_t>::open(folder, "destinations")));
  LEAT_TRY(auto aliases, (Table<uint32_t, leat_ip>::open(folder, "alias_addresses")));
  LEAT_TRY(auto services, (Table<leat_service_key, leat_service>::open(folder, "services")));
  LEAT_TRY(auto backends, (Table<leat_service_key, leat_backend>::open(folder, "backends")));
  LEAT_TRY(auto proxy_ports, (BpfMap<uint64_t, leat_ports>::open(folder, "proxy_ports")));
  LEAT_TRY(auto flows, (BpfMap<int, leat_flow>::open(folder, "flows")));
  return Maps{std::move(pods),     std::move(namespaces),   std::move(pod_addresses), std::move(pod_ports),
              std::move(excluded), std::move(destinations), std::move(aliases),       std::move(services),
              std::move(backends), std::move(proxy_ports),  std::move(flows)};
}

Result<std::unique_ptr<Capture::Impl>> Capture::Impl::open(const Options& options) {
  auto features = probe_features(options);
  for (const Feature& feature : features)
    if (feature.needed && !feature.ok)
      return fail(ErrorCode::kUnsupported, "capture needs: {}. {}", feature.name, feature.cure);

  const std::string folder = maps_folder(options);
  LEAT_TRY(auto programs, Programs::load(options));
  LEAT_TRY(auto maps, Maps::open(folder));
  LEAT_TRY(auto listeners, ListenerTable::open(folder));
  LEAT_TRY(auto closed, ClosedFlows::open(folder));
  LEAT_TRY(auto numbers, Numbers::open(folder));
  std::unique_ptr<Impl> impl(
      new Impl(std::move(programs), std::move(maps), std::move(listeners), std::move(closed), std::move(numbers)));
  impl->features = std::move(features);
  LEAT_TRY_VOID(impl->write_settings(folder));
  LEAT_TRY_VOID(impl->programs_.attach());
  LEAT_TRY_VOID(impl->resume());
  return impl;
}

Result<void> Capture::Impl::write_settings(const std::string& folder) {
  LEAT_TRY(host_cookie_, current_netns_cookie());
  LEAT_TRY(auto map, (BpfMap<uint32_t, leat_settings>::open(folder, "settings")));
  return map.set(0, {.host_netns_cookie = host_cookie_,
                     .eject_ns = static_cast<uint64_t>(limits::kEjectTime.count()),
                     .pending_per_pod_max = limits::kPendingPerPodMax,
                     .pad = 0});
}

// What an earlier agent left in force becomes ours. A pod whose namespace is gone is released; apply() captures it anew
// if it is wanted.
Result<void> Capture::Impl::resume() {
  std::set<uint32_t> indexes;
  const auto known = maps_.namespaces.rows();
  for (const auto& [cookie, home] : known) {
    if (home.pod == LEAT_POD_NONE) continue;
    const Captured pod{.index = home.pod,
                       .cookie = cookie,
                       .path = home.path,
                       .file = is_namespace(home.path, cookie) ? identity_of(home.path) : FileIdentity{},
                       .row = maps_.pods.rows().contains(home.pod) ? maps_.pods.rows().at(home.pod) : leat_pod{}};
    captured_.emplace(home.uid, pod);
    indexes.insert(pod.index);
    LEAT_TRY(const bool inbound, programs_.take_over_inbound(pod.index, pod.row));
    if (inbound && pod.row.netns_cookie == cookie) {
      listeners.expect_all(home.uid, pod.index);
    } else {
      LEAT_TRY_VOID(release(home.uid));
    }
  }
  programs_.detach_inbound_of_others(indexes);
  return {};
}

// ---------------------------------------------------------------- apply

Result<Report> Capture::Impl::apply(const Plan& plan) {
  Report report;
  std::vector<const PodSpec*> wanted = wanted_pods(plan, report);

  // 1. Who is no longer wanted, or is another pod by now, goes first: indexes and addresses become free.
  std::unordered_map<std::string, const PodSpec*> by_uid;
  for (const PodSpec* pod : wanted) by_uid.emplace(pod->uid, pod);
  std::vector<std::pair<std::string, bool>> leaving;  // and whether it comes back to its place in step 4
  for (const auto& [uid, captured] : captured_)
    if (const auto pod = by_uid.find(uid); pod == by_uid.end() || !is_same_pod(*pod->second, captured))
      leaving.emplace_back(uid, pod != by_uid.end() && pod->second->index == captured.index);
  for (const auto& [uid, comes_back] : leaving) LEAT_TRY_VOID(release(uid, comes_back));

  // 2. Policy before anything is opened: exceptions for ports first, then the pods' modes that they are exceptions
  // from.
  const Known known{maps_.alias_addresses.rows(), maps_.destinations.rows()};
  const Tables tables = build_tables(plan, wanted, report.notes, plan.all_aliases ? nullptr : &known);
  LEAT_TRY_VOID(maps_.pod_ports.add(tables.pod_ports));
  LEAT_TRY_VOID(maps_.excluded_networks.add(tables.excluded_networks));
  for (const PodSpec* pod : wanted) {
    if (const auto captured = captured_.find(pod->uid); captured != captured_.end()) {
      captured->second.row = pod_row(*pod, captured->second.cookie);
      LEAT_TRY_VOID(maps_.pods.set(pod->index, captured->second.row));
    }
  }
  LEAT_TRY_VOID(maps_.pod_ports.remove_all_but(tables.pod_ports));
  LEAT_TRY_VOID(maps_.excluded_networks.remove_all_but(tables.excluded_networks));

  // 3. Names before destinations: nobody may be captured whose peer has no name yet.
  LEAT_TRY_VOID(maps_.alias_addresses.add(tables.alias_addresses));
  if (plan.all_aliases) LEAT_TRY_VOID(maps_.destinations.remove_all_but(tables.destinations));
  for (const leat_ip& address : tables.gone_destinations) LEAT_TRY_VOID(maps_.destinations.erase(address));
  LEAT_TRY_VOID(maps_.destinations.add(tables.destinations));

  // 4. New pods. One that fails is left as it was found.
  for (const PodSpec* pod : wanted) {
    if (captured_.contains(pod->uid)) continue;
    if (auto done = capture(*pod, report); !done) {
      clear(pod->index);
      report.failed_pods.push_back({pod->uid, std::move(done).error()});
    }
  }
  LEAT_TRY_VOID(maps_.pod_addresses.remove_all_but(tables.pod_addresses));
  LEAT_TRY_VOID(maps_.pod_addresses.add(tables.pod_addresses));

  // 5. Shares for the kernel: backends before the counts that lead to them, and the other way round. A slot whose
  // backend changes is at any moment one valid backend or the other.
  LEAT_TRY_VOID(maps_.services.remove_all_but(tables.services));
  LEAT_TRY_VOID(maps_.backends.add(tables.backends));
  LEAT_TRY_VOID(maps_.services.add(tables.services));
  LEAT_TRY_VOID(maps_.backends.remove_all_but(tables.backends));
  if (plan.all_aliases) LEAT_TRY_VOID(maps_.alias_addresses.remove_all_but(tables.alias_addresses));
  for (const uint32_t id : plan.removed_aliases) LEAT_TRY_VOID(maps_.alias_addresses.erase(id));

  LEAT_TRY_VOID(forget_dead_namespaces());
  return report;
}

// The pods that can be captured; of two that claim one index, address or namespace, the later is refused.
std::vector<const PodSpec*> Capture::Impl::wanted_pods(const Plan& plan, Report& report) const {
  std::vector<const PodSpec*> wanted;
  std::unordered_set<uint32_t> indexes;
  std::unordered_set<std::string> uids;
  std::unordered_set<IpAddress> addresses;
  for (const PodSpec& pod : plan.pods) {
    auto valid = validate(pod);
    const bool repeated =
        indexes.contains(pod.index) || uids.contains(pod.uid) ||
        std::ranges::any_of(pod.addresses, [&](const IpAddress& address) { return addresses.contains(address); });
    if (valid && repeated)
      valid = fail(ErrorCode::kConflict, "pod {}: its index, UID or address is another pod's too", pod.uid);
    if (!valid) {
      report.failed_pods.push_back({pod.uid, std::move(valid).error()});
      continue;
    }
    indexes.insert(pod.index);
    uids.insert(pod.uid);
    addresses.insert(pod.addresses.begin(), pod.addresses.end());
    wanted.push_back(&pod);
  }
  return wanted;
}

// A pod's sandbox may be made anew under the same UID: other addresses, or another namespace at the same path.
bool Capture::Impl::is_same_pod(const PodSpec& pod, const Captured& captured) const {
  const leat_pod row = pod_row(pod, captured.cookie);
  return pod.index == captured.index && std::memcmp(&row.v4, &captured.row.v4, sizeof row.v4) == 0 &&
         std::memcmp(&row.v6, &captured.row.v6, sizeof row.v6) == 0 && pod.netns_path == captured.path &&
         identity_of(pod.netns_path) == captured.file;
}

// New connections go as if Leat were not there; old ones keep their names, and IPv6 ones their route. Connects stop
// first: what is captured after the listeners are gone would be refused.
Result<void> Capture::Impl::release(const std::string& uid, bool comes_back) {
  const Captured pod = captured_.at(uid);
  if (const auto home = maps_.namespaces.rows().find(pod.cookie); home != maps_.namespaces.rows().end()) {
    leat_namespace released = home->second;
    released.pod = LEAT_POD_NONE;
    LEAT_TRY_VOID(maps_.namespaces.set(pod.cookie, released));
  }
  // A pod that comes back keeps its inbound program and its mode: STRICT without listeners is closed meanwhile.
  if (comes_back) {
    listeners.drop_all(pod.index, /*make_way=*/true);
  } else {
    clear(pod.index);
  }
  numbers.forget_pod(pod.index);
  captured_.erase(uid);
  return {};
}

void Capture::Impl::clear(uint32_t pod_index) {
  programs_.detach_inbound(pod_index);
  listeners.drop_all(pod_index, /*make_way=*/false);
  best_effort(maps_.pods.set(pod_index, leat_pod{}));
}

Result<void> Capture::Impl::capture(const PodSpec& pod, Report& report) {
  LEAT_TRY(const NetnsScope inside, NetnsScope::enter(pod.netns_path));
  LEAT_TRY(const uint64_t cookie, current_netns_cookie());
  if (cookie == host_cookie_)
    return fail(ErrorCode::kInvalid, "pod {}: {} is the node's own network namespace, which is never captured", pod.uid,
                pod.netns_path);
  const auto taken = [&](const auto& other) { return other.second.cookie == cookie; };
  if (std::ranges::any_of(captured_, taken))
    return fail(ErrorCode::kConflict, "pod {}: the network namespace {} is another pod's", pod.uid, pod.netns_path);

  const leat_pod row = pod_row(pod, cookie);
  LEAT_TRY_VOID(capture_inside(pod, row, inside.fd(), report));
  captured_.emplace(pod.uid, Captured{.index = pod.index,
                                      .cookie = cookie,
                                      .path = pod.netns_path,
                                      .file = identity_of(pod.netns_path),
                                      .row = row});
  return {};
}

// The last line captures: until then the pod's connects are untouched.
Result<void> Capture::Impl::capture_inside(const PodSpec& pod, const leat_pod& row, int netns_fd, Report& report) {
  const bool v6 = has_v6(row) && has_ingress_ifindex();
  if (has_v6(row) && !v6)
    report.notes.push_back(fmt::format("pod {}: IPv6 is not captured, the kernel is older than 5.17", pod.uid));
  if (v6) LEAT_TRY_VOID(add_alias_route());
  LEAT_TRY_VOID(listeners.make_all(pod.uid, pod.index, has_v4(row), v6));
  LEAT_TRY_VOID(maps_.pods.set(pod.index, row));
  LEAT_TRY_VOID(programs_.attach_inbound(pod.index, row, netns_fd));
  for (const Listener& listener : listeners.all()) {
    const uint32_t backlog = listen_backlog(listener.fd);
    if (listener.id.workload_uid() != pod.uid || backlog >= limits::kListenBacklog) continue;
    report.notes.push_back(
        fmt::format("pod {}: its net.core.somaxconn lets only {} connections wait while no proxy accepts (wanted {})",
                    pod.uid, backlog, limits::kListenBacklog));
    break;
  }
  if (!maps_.proxy_ports.find(row.netns_cookie)) LEAT_TRY_VOID(maps_.proxy_ports.set(row.netns_cookie, leat_ports{}));
  return maps_.namespaces.set(row.netns_cookie, namespace_row(pod, row));
}

// Released namespaces that are gone need no names any more; beyond the limit the oldest go (cookies count up).
Result<void> Capture::Impl::forget_dead_namespaces() {
  std::vector<uint64_t> released;
  for (const auto& [cookie, home] : maps_.namespaces.rows())
    if (home.pod == LEAT_POD_NONE) released.push_back(cookie);
  std::ranges::sort(released, std::greater());
  for (size_t i = 0; i < released.size(); ++i) {
    const std::string path = maps_.namespaces.rows().at(released[i]).path;
    if (i < limits::kReleasedMax && is_namespace(path, released[i])) continue;
    LEAT_TRY_VOID(maps_.namespaces.erase(released[i]));
    LEAT_TRY_VOID(maps_.proxy_ports.erase(released[i]));
  }
  return {};
}

// ---------------------------------------------------------------- inside pods

Result<Listener> Capture::Impl::rebuild_listener(const v1::ListenerId& id) {
  const auto present = listeners.find(id);
  const Captured* pod = find(id.workload_uid());
  if (!pod || !present) return fail(ErrorCode::kNotFound, "pod {} has no such listener", id.workload_uid());
  if (present->id.epoch() != id.epoch()) return *present;
  LEAT_TRY(const NetnsScope inside, NetnsScope::enter(pod->path));
  return listeners.rebuild(id);
}

Result<std::vector<Listener>> Capture::Impl::rebuild_missing() {
  std::vector<Listener> rebuilt;
  for (const Listener& listener : listeners.all()) {
    if (listener.fd >= 0) continue;
    if (auto made = rebuild_listener(listener.id)) {
      rebuilt.push_back(std::move(*made));
    } else {
      log::error("{}; its pod has none until it is made anew", made.error().message);  // the others go on
    }
  }
  return rebuilt;
}

Result<std::vector<UniqueFd>> Capture::Impl::make_sockets(const std::string& uid, bool ipv6, uint32_t count) {
  const Captured* pod = find(uid);
  if (!pod) return fail(ErrorCode::kNotFound, "pod {} is not captured on this node", uid);
  if (count == 0 || count > limits::kBrokerBatchMax)
    return fail(ErrorCode::kInvalid, "{} sockets asked for; 1 to {} can be had at once", count,
                limits::kBrokerBatchMax);
  LEAT_TRY(const NetnsScope inside, NetnsScope::enter(pod->path));
  std::vector<UniqueFd> sockets;
  while (sockets.size() < count) {
    LEAT_TRY(auto made, make_broker_socket(ipv6, pod->index, listeners.marks_fd()));
    sockets.push_back(std::move(made));
  }
  return sockets;
}

Result<KernelFlows> Capture::Impl::kernel_flows(const std::string& uid) {
  const Captured* pod = find(uid);
  if (!pod) return fail(ErrorCode::kNotFound, "pod {} is not captured on this node", uid);
  LEAT_TRY(const NetnsScope inside, NetnsScope::enter(pod->path));
  return list_kernel_flows(listeners.marks_fd(), maps_.flows.fd());
}

std::vector<Feature> Capture::Impl::hooks() const {
  std::vector<Feature> found = programs_.hooks();
  for (const auto& [uid, pod] : captured_) {
    found.push_back({.name = fmt::format("inbound program of pod {}", uid),
                     .ok = programs_.inbound_attached(pod.index),
                     .needed = true,
                     .cure = "restart leat-agent: it captures the pod anew"});
  }
  return found;
}

// ---------------------------------------------------------------- the public face

Capture::Capture(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Capture::~Capture() = default;

Result<std::unique_ptr<Capture>> Capture::open(const Options& options) {
  LEAT_TRY(auto impl, Impl::open(options));
  return std::unique_ptr<Capture>(new Capture(std::move(impl)));
}

Result<Report> Capture::apply(const Plan& plan) { return impl_->apply(plan); }
std::vector<Listener> Capture::listeners() const { return impl_->listeners.all(); }
Result<void> Capture::adopt_listener(const v1::ListenerId& id, UniqueFd socket) {
  return impl_->listeners.adopt(id, std::move(socket));
}
Result<Listener> Capture::rebuild_listener(const v1::ListenerId& id) { return impl_->rebuild_listener(id); }
Result<std::vector<Listener>> Capture::rebuild_missing() { return impl_->rebuild_missing(); }
void Capture::close_slots() { impl_->listeners.close_slots(); }
void Capture::open_slots() { impl_->listeners.open_slots(); }
Result<std::vector<UniqueFd>> Capture::make_sockets(const std::string& pod_uid, bool ipv6, uint32_t count) {
  return impl_->make_sockets(pod_uid, ipv6, count);
}
Result<KernelFlows> Capture::kernel_flows(const std::string& pod_uid) { return impl_->kernel_flows(pod_uid); }
int Capture::closed_flows_fd() const { return impl_->closed_flows.fd(); }
std::vector<DirectFlow> Capture::take_closed_flows() { return impl_->closed_flows.take(); }
Result<std::vector<DirectEdge>> Capture::direct_edges() { return impl_->numbers.edges(); }
Result<std::vector<CounterValue>> Capture::counters() { return impl_->numbers.counters(); }
Result<std::vector<MapFill>> Capture::map_fills() { return impl_->numbers.map_fills(); }
const std::vector<Feature>& Capture::features() const { return impl_->features; }
std::vector<Feature> Capture::hooks() const { return impl_->hooks(); }
uint64_t Capture::netns_cookie(const std::string& pod_uid) const {
  const Captured* pod = impl_->find(pod_uid);
  return pod ? pod->cookie : 0;
}

}  // namespace leat::capture
