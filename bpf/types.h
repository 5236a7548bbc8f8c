// bpf/ owns what runs in the kernel: one program file a hook family (bind, connect, names, sockops, lookup, flows), the
// maps that they share (maps.h), the alias scheme (alias.h). agent/capture loads and attaches the programs and alone
// writes what they read. No program touches a packet or a byte of payload: they decide where a socket connects, who
// accepts it, and what names both ends see.
//
// This file: the keys and values of every BPF map, once for kernel programs (C) and the agent (C++).
// Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Ports are in host order. Padding is named, so that
// keys compare whole.
#pragma once

#include <linux/types.h>

#ifdef __cplusplus
#define LEAT_SIZE(type, size) static_assert(sizeof(type) == (size))
#else
#define LEAT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

#define LEAT_PODS_MAX 1024u
#define LEAT_POD_NONE 0xffffffffu   /* no pod; in `namespaces`: released, only its old connections are still decoded */
#define LEAT_POD_HOST LEAT_PODS_MAX /* the kubelet, as a client; also its row in `pending` and `counters` */
#define LEAT_SLOTS_PER_POD 8u
#define LEAT_SLOT(pod, role, ipv6) ((pod) * LEAT_SLOTS_PER_POD + (role) * 2u + (ipv6))

/* Roles of in-pod listeners; the numbers are those of ListenerRole in leat.proto. */
#define LEAT_ROLE_OUTBOUND 0u
#define LEAT_ROLE_HBONE 1u
#define LEAT_ROLE_PLAINTEXT 2u

struct leat_ip {
  __u32 word[4];
};
LEAT_SIZE(struct leat_ip, 16);

struct leat_settings {
  __u64 host_netns_cookie;   /* the agent's own namespace: where the kubelet lives */
  __u64 eject_ns;            /* how long a backend that failed a direct connect is left to the proxy's judgement */
  __u32 pending_per_pod_max; /* handshakes that one client may have vouched for at once */
  __u32 pad;
};
LEAT_SIZE(struct leat_settings, 24);

#define LEAT_POD_STRICT 1u
#define LEAT_POD_EXCLUDES_OUTBOUND 2u /* look into the exclusions at connect() */
#define LEAT_POD_EXCLUDES_INBOUND 4u
#define LEAT_POD_PORT_MTLS 8u /* some port differs from the pod's mode */
struct leat_pod {
  __u64 netns_cookie; /* 0: an unused row */
  struct leat_ip v4;  /* all zero: the pod has none */
  struct leat_ip v6;
  __u32 flags;
  __u32 pad;
};
LEAT_SIZE(struct leat_pod, 48);

/* A network namespace that is or was enrolled, by its cookie. The strings let a restarted agent find it again. */
struct leat_namespace {
  __u32 pod;
  __u32 pad;
  struct leat_ip v4; /* the pod's own, all zero: none */
  struct leat_ip v6;
  char uid[64];
  char path[256];
};
LEAT_SIZE(struct leat_namespace, 360);

/* What is special about one port of one pod. */
#define LEAT_PORT_MTLS 0u /* value: MtlsMode of leat.proto */
#define LEAT_PORT_EXCLUDED_OUTBOUND 1u
#define LEAT_PORT_EXCLUDED_INBOUND 2u
#define LEAT_PORT_PROBE 3u
struct leat_port_key {
  __u32 pod;
  __u16 port;
  __u16 use;
};
LEAT_SIZE(struct leat_port_key, 8);

/* Ports of a namespace, a bit each. */
struct leat_ports {
  __u64 word[65536 / 64];
};
LEAT_SIZE(struct leat_ports, 8192);

#define LEAT_MTLS_PERMISSIVE 0u
#define LEAT_MTLS_STRICT 1u
#define LEAT_MTLS_DISABLE 2u

/* Longest-prefix key: pod and direction are always matched whole. */
#define LEAT_NETWORK_OUTBOUND 0u
#define LEAT_NETWORK_INBOUND 1u
#define LEAT_NETWORK_FIXED_BITS 64u
struct leat_network_key {
  __u32 prefix_bits;
  __u32 pod;
  __u32 direction;
  struct leat_ip ip;
};
LEAT_SIZE(struct leat_network_key, 28);

/* A destination port that the kernel may serve alone, and its local backends in slots 0 … local - 1. */
#define LEAT_ANY_PORT \
  0u /* as key: every port of a local pod's own address; as a backend's: the port that was asked for */
struct leat_service_key {
  __u32 alias;
  __u16 port;
  __u16 slot; /* 0 in `services` */
};
LEAT_SIZE(struct leat_service_key, 8);

struct leat_service {
  __u32 local;
  __u32 total;        /* local + remote endpoints */
  __u32 remote_alias; /* where the remote endpoints' share goes; meant only if total > local */
};
LEAT_SIZE(struct leat_service, 12);

struct leat_backend {
  struct leat_ip ip;
  __u32 pod;
  __u16 port;
  __u16 pad;
};
LEAT_SIZE(struct leat_backend, 24);

struct leat_endpoint {
  struct leat_ip ip;
  __u16 port;
  __u16 pad;
};
LEAT_SIZE(struct leat_endpoint, 20);

/* A backend that failed one pod's direct connect. By client: no pod can spoil a backend for its neighbours. */
struct leat_ejection {
  struct leat_ip backend;
  __u16 port;
  __u16 client_pod;
};
LEAT_SIZE(struct leat_ejection, 20);

/* A handshake that the kernel vouches for: who connects to which pod. */
struct leat_tuple {
  struct leat_ip client;
  struct leat_ip server;
  __u16 client_port;
  __u16 server_port;
};
LEAT_SIZE(struct leat_tuple, 36);

struct leat_vouched {
  __u64 client_socket; /* cookie; only this socket's close deletes the entry */
  __u32 client_pod;
  __u32 server_pod;
};
LEAT_SIZE(struct leat_vouched, 16);

/* Socket storage of sockets that the agent made; children accepted from a marked listener are marked too. */
#define LEAT_MARK_LISTENER 1u
#define LEAT_MARK_BROKER 2u
struct leat_mark {
  __u32 kind;
  __u32 pod; /* the listener's pod; the client pod that the broker's socket dials for */
};
LEAT_SIZE(struct leat_mark, 8);

/* Socket storage of a client socket that was joined to a backend in the kernel. */
struct leat_flow {
  __u64 started_ns; /* CLOCK_MONOTONIC */
  struct leat_ip requested;
  struct leat_ip backend;
  __u16 requested_port;
  __u16 backend_port;
  __u32 client_pod;
  __u32 backend_pod;
  __u32 alias;
};
LEAT_SIZE(struct leat_flow, 56);

/* A direct flow that has closed, as user space reads it from the ring buffer. */
struct leat_flow_event {
  __u64 socket;
  __u64 now_ns;
  __u64 bytes_sent; /* payload */
  __u64 bytes_received;
  struct leat_flow flow;
  struct leat_ip client;
  __u32 client_port;
  __u32 tcp_state; /* BPF_TCP_*, the one before */
  __u32 error;     /* errno of the socket, 0 in order */
  __u32 pad;
};
LEAT_SIZE(struct leat_flow_event, 120);

struct leat_edge_key {
  __u32 client_pod;
  __u32 backend_pod;
  __u32 alias;
  __u16 port; /* as requested; LEAT_ANY_PORT for a pod's own address, so that a scan of its ports is one edge */
  __u16 pad;
};
LEAT_SIZE(struct leat_edge_key, 16);

struct leat_edge {
  __u64 opened;
  __u64 closed;
  __u64 failed;
  __u64 bytes_sent;
  __u64 bytes_received;
};
LEAT_SIZE(struct leat_edge, 40);

/* What a restarted agent must know of a listener: counts up for ever, names the socket that is rightfully in the slot.
 */
struct leat_listener {
  __u64 epoch;
  __u64 socket; /* cookie */
};
LEAT_SIZE(struct leat_listener, 16);
