#include "agent/capture/tables.h"

#include <algorithm>
#include <optional>
#include <set>

#include "bpf/alias.h"

namespace leat::capture {

leat_ip to_leat_ip(const IpAddress& address) {
  leat_ip ip;
  std::memcpy(&ip, address.bytes().data(), sizeof ip);
  return ip;
}

IpAddress from_leat_ip(const leat_ip& ip) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &ip, sizeof ip);
  return IpAddress::from_bytes(bytes);
}

Result<void> validate(const PodSpec& pod) {
  if (pod.index >= LEAT_PODS_MAX) {
    return fail(ErrorCode::kExhausted, "pod {}: index {} is beyond the {} pods that a node can capture", pod.uid,
                pod.index, LEAT_PODS_MAX);
  }
  if (pod.uid.empty() || pod.uid.size() >= sizeof(leat_namespace::uid)) {
    return fail(ErrorCode::kInvalid, "pod '{}': its UID must have 1 to {} characters", pod.uid,
                sizeof(leat_namespace::uid) - 1);
  }
  if (pod.netns_path.empty() || pod.netns_path.size() >= sizeof(leat_namespace::path)) {
    return fail(ErrorCode::kInvalid, "pod {}: the path of its network namespace must have 1 to {} characters", pod.uid,
                sizeof(leat_namespace::path) - 1);
  }
  const auto v4 = std::ranges::count_if(pod.addresses, &IpAddress::is_v4);
  const auto v6 = std::ssize(pod.addresses) - v4;
  if (pod.addresses.empty() || v4 > 1 || v6 > 1) {
    return fail(ErrorCode::kInvalid, "pod {}: has {} IPv4 and {} IPv6 addresses; one of either or of both is needed",
                pod.uid, v4, v6);
  }
  return {};
}

leat_pod pod_row(const PodSpec& pod, uint64_t netns_cookie) {
  leat_pod row{};
  row.netns_cookie = netns_cookie;
  for (const IpAddress& address : pod.addresses) (address.is_v4() ? row.v4 : row.v6) = to_leat_ip(address);
  if (pod.strict) row.flags |= LEAT_POD_STRICT;
  if (!pod.port_mtls.empty()) row.flags |= LEAT_POD_PORT_MTLS;
  if (!pod.outbound.ports.empty() || !pod.outbound.cidrs.empty()) row.flags |= LEAT_POD_EXCLUDES_OUTBOUND;
  if (!pod.inbound.ports.empty() || !pod.inbound.cidrs.empty()) row.flags |= LEAT_POD_EXCLUDES_INBOUND;
  return row;
}

namespace {

void add_ports(Tables& tables, uint32_t pod, const std::vector<uint16_t>& ports, uint16_t use) {
  for (const uint16_t port : ports) tables.pod_ports[{.pod = pod, .port = port, .use = use}] = 1;
}

void add_networks(Tables& tables, uint32_t pod, const std::vector<Cidr>& cidrs, uint32_t direction) {
  for (const Cidr& cidr : cidrs) {
    const leat_network_key key{.prefix_bits = LEAT_NETWORK_FIXED_BITS + cidr.prefix_bits,
                               .pod = pod,
                               .direction = direction,
                               .ip = to_leat_ip(cidr.base)};
    tables.excluded_networks[key] = 1;
  }
}

void add_pod(Tables& tables, const PodSpec& pod) {
  for (const IpAddress& address : pod.addresses) tables.pod_addresses[to_leat_ip(address)] = pod.index;
  for (const auto& [port, mode] : pod.port_mtls)
    tables.pod_ports[{.pod = pod.index, .port = port, .use = LEAT_PORT_MTLS}] = static_cast<uint32_t>(mode);
  add_ports(tables, pod.index, pod.probe_ports, LEAT_PORT_PROBE);
  add_ports(tables, pod.index, pod.outbound.ports, LEAT_PORT_EXCLUDED_OUTBOUND);
  add_ports(tables, pod.index, pod.inbound.ports, LEAT_PORT_EXCLUDED_INBOUND);
  add_networks(tables, pod.index, pod.outbound.cidrs, LEAT_NETWORK_OUTBOUND);
  add_networks(tables, pod.index, pod.inbound.cidrs, LEAT_NETWORK_INBOUND);
}

void add_alias(Tables& tables, const AliasSpec& alias, std::vector<std::string>& notes) {
  if (alias.id > LEAT_ALIAS_ID_MAX) {
    notes.push_back(
        fmt::format("alias {} of {} is beyond the range of ids and is left out", alias.id, alias.address.text()));
    return;
  }
  tables.alias_addresses[alias.id] = to_leat_ip(alias.address);
  if (alias.destination) tables.destinations[to_leat_ip(alias.address)] = alias.id;
}

// The aliases as they will be: those of the plan, before those that are known.
class Aliases {
 public:
  Aliases(const Plan& plan, const Known* known, Tables& tables)
      : tables_(tables), known_(known), removed_(plan.removed_aliases.begin(), plan.removed_aliases.end()) {
    if (known == nullptr) return;
    for (const uint32_t id : removed_) {
      if (const auto row = known->alias_addresses.find(id); row != known->alias_addresses.end()) close(id, row->second);
    }
    for (const AliasSpec& alias : plan.aliases) {
      if (!alias.destination) close(alias.id, to_leat_ip(alias.address));
    }
  }

  [[nodiscard]] std::optional<leat_ip> address_of(uint32_t id) const {
    if (const auto row = tables_.alias_addresses.find(id); row != tables_.alias_addresses.end()) return row->second;
    if (known_ == nullptr || removed_.contains(id)) return std::nullopt;
    const auto row = known_->alias_addresses.find(id);
    return row == known_->alias_addresses.end() ? std::nullopt : std::optional(row->second);
  }

  [[nodiscard]] std::optional<uint32_t> destination(const leat_ip& address) const {
    if (const auto row = tables_.destinations.find(address); row != tables_.destinations.end()) return row->second;
    if (known_ == nullptr || closed_.contains(address)) return std::nullopt;
    const auto row = known_->destinations.find(address);
    return row == known_->destinations.end() ? std::nullopt : std::optional(row->second);
  }

 private:
  void close(uint32_t id, const leat_ip& address) {
    const auto row = known_->destinations.find(address);
    if (row == known_->destinations.end() || row->second != id || tables_.destinations.contains(address)) return;
    if (!closed_.insert(address).second) return;
    tables_.gone_destinations.push_back(address);
  }

  Tables& tables_;
  const Known* known_;
  std::set<uint32_t> removed_;
  std::set<leat_ip, ByteLess> closed_;
};

void add_direct(Tables& tables, const DirectService& service, const Aliases& aliases, std::vector<std::string>& notes) {
  const auto address = aliases.address_of(service.alias_id);
  const auto wrong_family = [&](const DirectBackend& backend) {
    return from_leat_ip(*address).is_v4() != backend.address.is_v4();
  };
  if (!address || std::ranges::any_of(service.local, wrong_family) || service.local.size() > UINT16_MAX ||
      (service.remote_endpoints > 0 && !aliases.address_of(service.remote_alias_id))) {
    notes.push_back(fmt::format(
        "port {} of alias {} goes by the proxy: unknown alias, a backend of the other IP family, or too many",
        service.port, service.alias_id));
    return;
  }
  if (service.local.empty()) return;

  leat_service_key key{.alias = service.alias_id, .port = service.port, .slot = 0};
  tables.services[key] = {.local = static_cast<uint32_t>(service.local.size()),
                          .total = static_cast<uint32_t>(service.local.size()) + service.remote_endpoints,
                          .remote_alias = service.remote_alias_id};
  for (const DirectBackend& backend : service.local) {
    tables.backends[key] = {
        .ip = to_leat_ip(backend.address), .pod = backend.pod_index, .port = backend.port, .pad = 0};
    ++key.slot;
  }
}

// A local pod that is asked for by its own address is its only backend, at every port.
void add_direct_pods(Tables& tables, const Aliases& aliases) {
  for (const auto& [address, pod] : tables.pod_addresses) {
    const auto alias = aliases.destination(address);
    if (!alias) continue;
    const leat_service_key key{.alias = *alias, .port = LEAT_ANY_PORT, .slot = 0};
    tables.services[key] = {.local = 1, .total = 1, .remote_alias = 0};
    tables.backends[key] = {.ip = address, .pod = pod, .port = LEAT_ANY_PORT, .pad = 0};
  }
}

}  // namespace

Tables build_tables(const Plan& plan, const std::vector<const PodSpec*>& pods, std::vector<std::string>& notes,
                    const Known* known) {
  Tables tables;
  for (const PodSpec* pod : pods) add_pod(tables, *pod);
  for (const AliasSpec& alias : plan.aliases) add_alias(tables, alias, notes);
  const Aliases aliases(plan, known, tables);
  if (plan.same_node != v1::SAME_NODE_DIRECT) return tables;
  for (const DirectService& service : plan.direct) add_direct(tables, service, aliases, notes);
  add_direct_pods(tables, aliases);
  return tables;
}

}  // namespace leat::capture
