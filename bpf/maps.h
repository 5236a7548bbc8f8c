// Every map that the programs share, each pinned under its own name: the first program loaded makes it, the others and
// every later agent find it there. agent/capture/numbers.cc reports how full they are.
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

#define LEAT_HASH(name, entries, key_type, value_type) \
  LEAT_MAP(name, BPF_MAP_TYPE_HASH, entries, key_type, value_type, BPF_F_NO_PREALLOC)
#define LEAT_ARRAY(name, entries, value_type) LEAT_MAP(name, BPF_MAP_TYPE_ARRAY, entries, __u32, value_type, 0)

// ---- Written by the agent, read by the programs. Full: apply() fails and says which.

LEAT_ARRAY(settings, 1, struct leat_settings);
LEAT_ARRAY(pods, LEAT_PODS_MAX, struct leat_pod);
LEAT_HASH(namespaces, 8192, __u64, struct leat_namespace);           // by cookie
LEAT_HASH(pod_addresses, 2 * LEAT_PODS_MAX, struct leat_ip, __u32);  // -> pod index
LEAT_HASH(pod_ports, 65536, struct leat_port_key, __u32);            // -> what LEAT_PORT_* says
LEAT_HASH(destinations, 262144, struct leat_ip, __u32);              // -> alias id
LEAT_HASH(alias_addresses, 524288, __u32, struct leat_ip);           // by alias id
LEAT_HASH(services, 65536, struct leat_service_key, struct leat_service);
LEAT_HASH(backends, 65536, struct leat_service_key, struct leat_backend);
LEAT_MAP(excluded_networks, BPF_MAP_TYPE_LPM_TRIE, 16384, struct leat_network_key, __u8, BPF_F_NO_PREALLOC);

// Listeners by LEAT_SLOT: the sockets, and what the agent must remember of them beyond its own life.
#define LEAT_SLOTS_MAX (LEAT_PODS_MAX * LEAT_SLOTS_PER_POD)
LEAT_MAP(slots, BPF_MAP_TYPE_SOCKMAP, LEAT_SLOTS_MAX, __u32, __u64, 0);
LEAT_ARRAY(listeners, LEAT_SLOTS_MAX, struct leat_listener);

// ---- Written by the programs.

// Handshakes in flight. Full: counted; the SYN leaves unvouched, and a STRICT destination's proxy refuses it.
LEAT_HASH(direct, 65536, struct leat_tuple, struct leat_vouched);
LEAT_ARRAY(pending, LEAT_PODS_MAX + 1, __u64);  // entries of `direct`, by client pod

// Until when a backend is left alone. Full: the oldest returns early.
LEAT_MAP(ejected, BPF_MAP_TYPE_LRU_HASH, 4096, struct leat_ejection, __u64, 0);

// Ports that sockets of the proxy have, or had, in a pod's namespace (bind.bpf.c). By cookie, not by pod: connections
// outlive an enrolment. The agent makes the rows, one a captured namespace, so that no pod takes another's room.
LEAT_HASH(proxy_ports, 8192, __u64, struct leat_ports);

// Totals. Full: counted, and missing in the totals.
LEAT_HASH(edges, 65536, struct leat_edge_key, struct leat_edge);
LEAT_MAP(counters, BPF_MAP_TYPE_PERCPU_ARRAY, LEAT_PODS_MAX + 1, __u32, struct leat_counters, 0);

// 8,000 closed flows between two looks of the agent. Full: counted.
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
  __uint(pinning, LIBBPF_PIN_BY_NAME);
} closed_flows SEC(".maps");

// ---- Socket storage. Marks are cloned, so that a connection accepted from a marked listener is marked too; a flow is
// one socket's.

LEAT_MAP(marks, BPF_MAP_TYPE_SK_STORAGE, 0, int, struct leat_mark, BPF_F_NO_PREALLOC | BPF_F_CLONE);
LEAT_MAP(flows, BPF_MAP_TYPE_SK_STORAGE, 0, int, struct leat_flow, BPF_F_NO_PREALLOC);

static __always_inline void count(__u32 pod, enum leat_counter reason) {
  __u32 row = pod < LEAT_PODS_MAX ? pod : LEAT_POD_HOST;
  struct leat_counters* counted = bpf_map_lookup_elem(&counters, &row);
  if (counted) __sync_fetch_and_add(&counted->by_reason[reason], 1);  // an interrupt may count on this CPU too
}

static __always_inline __u32 pod_port(__u32 pod, __u16 port, __u16 use, __u32 otherwise) {
  struct leat_port_key key = {.pod = pod, .port = port, .use = use};
  __u32* value = bpf_map_lookup_elem(&pod_ports, &key);
  return value ? *value : otherwise;
}

static __always_inline bool network_excluded(__u32 pod, __u32 direction, const struct leat_ip* ip) {
  struct leat_network_key key = {
      .prefix_bits = LEAT_NETWORK_FIXED_BITS + 128, .pod = pod, .direction = direction, .ip = *ip};
  return bpf_map_lookup_elem(&excluded_networks, &key) != NULL;
}

// The word of `ports` that has this port's bit. The bound is told anew: kernels that do not follow a value through a
// change of its byte order (6.1 does not) take a port's for any number, and refuse the program.
static __always_inline __u64* word_of(struct leat_ports* ports, __u16 port) {
  __u32 bounded = port;
  barrier_var(bounded);  // else the compiler, which knows that a port has 16 bits, leaves the mask out
  return &ports->word[(bounded & 0xffff) / 64];
}

static __always_inline void remember_port(__u64 netns_cookie, __u16 port) {
  struct leat_ports* ports = bpf_map_lookup_elem(&proxy_ports, &netns_cookie);
  if (!ports) return;
  __u64* word = word_of(ports, port);
  __u64 bit = 1ULL << (port % 64);
  if (!(*word & bit)) __sync_fetch_and_or(word, bit);
}

static __always_inline bool is_port_of_proxy(__u64 netns_cookie, __u16 port) {
  struct leat_ports* ports = bpf_map_lookup_elem(&proxy_ports, &netns_cookie);
  return ports && (*word_of(ports, port) & (1ULL << (port % 64)));
}
