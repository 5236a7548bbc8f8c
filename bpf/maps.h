// Every map that the programs share, each pinned under its own name: the first program loaded makes it, the others and every later agent
// find it there. What happens when one is full stands beside it; agent/capture/numbers.cc reports how full they are.
#pragma once

#include "bpf/counters.h"
#include "bpf/kernel.h"
#include "bpf/types.h"

#define LEAT_MAP(name, kind, entries, key_type, value_type, flags) \
  struct {                                                         \
    __uint(type, kind);                                            \
    __uint(max_entries, entries);                                  \
    __type(key, key_type);                                         \
    __type(value, value_type);                                     \
    __uint(map_flags, flags);                                      \
    __uint(pinning, LIBBPF_PIN_BY_NAME);                           \
  } name SEC(".maps")

// Written by the agent, read by the programs. Full: apply() fails and says which.
LEAT_MAP(settings, BPF_MAP_TYPE_ARRAY, 1, __u32, struct leat_settings, 0);
LEAT_MAP(pods, BPF_MAP_TYPE_ARRAY, LEAT_PODS_MAX, __u32, struct leat_pod, 0);
LEAT_MAP(namespaces, BPF_MAP_TYPE_HASH, 8192, __u64, struct leat_namespace, BPF_F_NO_PREALLOC);      // by cookie
LEAT_MAP(pod_addresses, BPF_MAP_TYPE_HASH, 2 * LEAT_PODS_MAX, struct leat_ip, __u32, BPF_F_NO_PREALLOC);  // -> pod index
LEAT_MAP(pod_ports, BPF_MAP_TYPE_HASH, 65536, struct leat_port_key, __u32, BPF_F_NO_PREALLOC);
LEAT_MAP(excluded_networks, BPF_MAP_TYPE_LPM_TRIE, 16384, struct leat_network_key, __u8, BPF_F_NO_PREALLOC);
LEAT_MAP(destinations, BPF_MAP_TYPE_HASH, 262144, struct leat_ip, __u32, BPF_F_NO_PREALLOC);    // -> alias id
LEAT_MAP(alias_addresses, BPF_MAP_TYPE_HASH, 524288, __u32, struct leat_ip, BPF_F_NO_PREALLOC); // by alias id
LEAT_MAP(services, BPF_MAP_TYPE_HASH, 65536, struct leat_service_key, struct leat_service, BPF_F_NO_PREALLOC);
LEAT_MAP(backends, BPF_MAP_TYPE_HASH, 65536, struct leat_service_key, struct leat_backend, BPF_F_NO_PREALLOC);
LEAT_MAP(listeners, BPF_MAP_TYPE_ARRAY, LEAT_PODS_MAX * LEAT_SLOTS_PER_POD, __u32, struct leat_listener, 0);  // agent's own memory
LEAT_MAP(slots, BPF_MAP_TYPE_SOCKMAP, LEAT_PODS_MAX * LEAT_SLOTS_PER_POD, __u32, __u64, 0);                   // by LEAT_SLOT

// Written by the programs.
LEAT_MAP(direct, BPF_MAP_TYPE_HASH, 65536, struct leat_tuple, struct leat_vouched, BPF_F_NO_PREALLOC);  // full: counted, not vouched
LEAT_MAP(pending, BPF_MAP_TYPE_ARRAY, LEAT_PODS_MAX + 1, __u32, __u64, 0);                             // entries of `direct`, by client
LEAT_MAP(ejected, BPF_MAP_TYPE_LRU_HASH, 4096, struct leat_endpoint, __u64, 0);  // until when; full: the oldest returns early
LEAT_MAP(edges, BPF_MAP_TYPE_HASH, 65536, struct leat_edge_key, struct leat_edge, BPF_F_NO_PREALLOC);  // full: counted
LEAT_MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, LEAT_PODS_MAX + 1, __u32, struct leat_counters, 0);

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);  // 8,000 closed flows between two looks of the agent; full: counted
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} closed_flows SEC(".maps");

// Socket storage. Marks are cloned, so that a connection accepted from a marked listener is marked; flows belong to one socket.
LEAT_MAP(marks, BPF_MAP_TYPE_SK_STORAGE, 0, int, struct leat_mark, BPF_F_NO_PREALLOC | BPF_F_CLONE);
LEAT_MAP(flows, BPF_MAP_TYPE_SK_STORAGE, 0, int, struct leat_flow, BPF_F_NO_PREALLOC);

static __always_inline void count(__u32 pod, enum leat_counter reason) {
  __u32 row = pod < LEAT_PODS_MAX ? pod : LEAT_POD_HOST;
  struct leat_counters *counted = bpf_map_lookup_elem(&counters, &row);
  if (counted) __sync_fetch_and_add(&counted->by_reason[reason], 1);  // an interrupt may count on this CPU too
}

static __always_inline __u32 pod_port(__u32 pod, __u16 port, __u16 use, __u32 otherwise) {
  struct leat_port_key key = {.pod = pod, .port = port, .use = use};
  __u32 *value = bpf_map_lookup_elem(&pod_ports, &key);
  return value ? *value : otherwise;
}

static __always_inline bool network_excluded(__u32 pod, __u32 direction, const struct leat_ip *ip) {
  struct leat_network_key key = {
      .prefix_bits = LEAT_NETWORK_FIXED_BITS + 128, .pod = pod, .direction = direction, .ip = *ip};
  return bpf_map_lookup_elem(&excluded_networks, &key) != NULL;
}
