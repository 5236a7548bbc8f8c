// Vouching and counting. A STRICT pod takes plaintext only from a peer that the kernel itself knows, so before a SYN of
// such a peer leaves, its 4-tuple is written into `direct`; the destination's inbound program (lookup.bpf.c) finds it
// there. The entry goes when the server has established the connection, else when the client's socket closes: with SYN
// cookies the inbound program is asked again for the last packet of the handshake, so no earlier moment is right. The
// same hooks count kernel-direct connections and report them when they close.
#include "bpf/address.h"
#include "bpf/maps.h"

#define PROCEED 1

// The connection as the local socket sees it. A v4-mapped socket's IPv6 fields are not filled in yet when it connects;
// the IPv4 ones are.
struct ends {
  struct leat_endpoint local;
  struct leat_endpoint remote;
};

static __always_inline struct ends ends_of(struct bpf_sock_ops* ctx) {
  struct ends ends = {.local.port = ctx->local_port, .remote.port = bpf_ntohl(ctx->remote_port)};
  struct leat_ip remote6 = LEAT_IP_OF_CONTEXT(ctx->remote_ip6);
  if (ctx->family == AF_INET6 && !is_v4(&remote6)) {
    ends.local.ip = LEAT_IP_OF_CONTEXT(ctx->local_ip6);
    ends.remote.ip = remote6;
  } else {
    ends.local.ip = mapped(ctx->local_ip4);
    ends.remote.ip = mapped(ctx->remote_ip4);
  }
  return ends;
}

static __always_inline struct leat_tuple outgoing(const struct ends* ends) {
  return (struct leat_tuple){.client = ends->local.ip,
                             .server = ends->remote.ip,
                             .client_port = ends->local.port,
                             .server_port = ends->remote.port};
}

static __always_inline struct leat_tuple incoming(const struct ends* ends) {
  return (struct leat_tuple){.client = ends->remote.ip,
                             .server = ends->local.ip,
                             .client_port = ends->remote.port,
                             .server_port = ends->local.port};
}

static __always_inline __u32 enrolled_pod(struct bpf_sock_ops* ctx) {
  __u64 cookie = bpf_get_netns_cookie(ctx);
  struct leat_namespace* home = bpf_map_lookup_elem(&namespaces, &cookie);
  return home ? home->pod : LEAT_POD_NONE;
}

static __always_inline bool is_address_of(const struct leat_ip* ip, __u32 pod) {
  struct leat_pod* config = bpf_map_lookup_elem(&pods, &pod);
  return config && (same_ip(ip, &config->v4) || same_ip(ip, &config->v6));
}

static __always_inline void add_pending(__u32 client_pod, __s64 change) {
  __u64* in_flight = bpf_map_lookup_elem(&pending, &client_pod);
  if (in_flight) __sync_fetch_and_add(in_flight, change);
}

static __always_inline void watch_close(struct bpf_sock_ops* ctx) {
  bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

static __always_inline void vouch(struct bpf_sock_ops* ctx, const struct ends* ends, __u32 client_pod,
                                  __u32 server_pod) {
  struct leat_tuple key = outgoing(ends);
  struct leat_vouched entry = {
      .client_socket = bpf_get_socket_cookie(ctx), .client_pod = client_pod, .server_pod = server_pod};
  // An entry that is there already is a dead connection's with the same ends: it is replaced, and was counted then.
  if (bpf_map_update_elem(&direct, &key, &entry, BPF_NOEXIST) == 0) {
    add_pending(client_pod, 1);
  } else if (bpf_map_update_elem(&direct, &key, &entry, BPF_EXIST) != 0) {
    count(client_pod, LEAT_COUNT_vouch_failed);
    return;
  }
  watch_close(ctx);  // which deletes the entry, if the server has not
}

static __always_inline void withdraw(const struct leat_tuple* key, const struct leat_vouched* entry) {
  __u32 client_pod = entry->client_pod;
  if (bpf_map_delete_elem(&direct, key) == 0) add_pending(client_pod, -1);
}

static __always_inline struct leat_edge* edge_of(const struct leat_flow* flow) {
  bool by_own_address = same_ip(&flow->requested, &flow->backend);
  struct leat_edge_key key = {.client_pod = flow->client_pod,
                              .backend_pod = flow->backend_pod,
                              .alias = flow->alias,
                              .port = by_own_address ? LEAT_ANY_PORT : flow->requested_port};
  struct leat_edge* edge = bpf_map_lookup_elem(&edges, &key);
  if (edge) return edge;
  struct leat_edge none = {};
  bpf_map_update_elem(&edges, &key, &none, BPF_NOEXIST);  // another CPU may have been first
  edge = bpf_map_lookup_elem(&edges, &key);
  if (!edge) count(flow->client_pod, LEAT_COUNT_edges_full);
  return edge;
}

// ---- the client's side: TCP_CONNECT_CB, before the SYN

// A socket that connect() joined to a backend: only to that backend, and only from its pod's own address, which a
// container with NET_ADMIN could otherwise take from a neighbour.
static __always_inline void vouch_for_flow(struct bpf_sock_ops* ctx, const struct ends* ends,
                                           const struct leat_flow* flow) {
  if (enrolled_pod(ctx) != flow->client_pod) return;
  if (!same_ip(&ends->remote.ip, &flow->backend) || ends->remote.port != flow->backend_port) return;
  if (!is_address_of(&ends->local.ip, flow->client_pod))
    return count(flow->client_pod, LEAT_COUNT_vouch_foreign_address);
  vouch(ctx, ends, flow->client_pod, flow->backend_pod);
  watch_close(ctx);  // to report it, even if it could not be vouched for
  struct leat_edge* edge = edge_of(flow);
  if (edge) __sync_fetch_and_add(&edge->opened, 1);
}

// A socket that the proxy dials with for a local client, from the client's namespace: towards any enrolled pod of this
// node, for the proxy has checked that pod's policy.
static __always_inline void vouch_for_proxy(struct bpf_sock_ops* ctx, const struct ends* ends,
                                            const struct leat_mark* mark) {
  __u32* server_pod = bpf_map_lookup_elem(&pod_addresses, &ends->remote.ip);
  if (!server_pod || enrolled_pod(ctx) != mark->pod || !is_address_of(&ends->local.ip, mark->pod)) return;
  vouch(ctx, ends, mark->pod, *server_pod);
}

static __always_inline void on_connect(struct bpf_sock_ops* ctx) {
  struct bpf_sock* sk = ctx->sk;
  if (!sk) return;
  struct ends ends = ends_of(ctx);
  struct leat_mark* mark = bpf_sk_storage_get(&marks, sk, NULL, 0);
  if (mark) {
    if (mark->kind != LEAT_MARK_BROKER) return;
    remember_port(bpf_get_netns_cookie(ctx), ends.local.port);
    vouch_for_proxy(ctx, &ends, mark);
    return;
  }
  struct leat_flow* flow = bpf_sk_storage_get(&flows, sk, NULL, 0);
  if (flow) vouch_for_flow(ctx, &ends, flow);
}

// ---- the server's side: PASSIVE_ESTABLISHED

static __always_inline void on_accepted(struct bpf_sock_ops* ctx) {
  struct ends ends = ends_of(ctx);
  struct leat_tuple key = incoming(&ends);
  struct leat_vouched* entry = bpf_map_lookup_elem(&direct, &key);
  if (entry && entry->server_pod == enrolled_pod(ctx)) withdraw(&key, entry);
}

// ---- the client's end

static __always_inline void eject(const struct leat_flow* flow) {
  const __u32 only = 0;
  struct leat_settings* limits = bpf_map_lookup_elem(&settings, &only);
  if (!limits) return;
  struct leat_ejection key = {.backend = flow->backend, .port = flow->backend_port, .client_pod = flow->client_pod};
  __u64 until = bpf_ktime_get_ns() + limits->eject_ns;
  bpf_map_update_elem(&ejected, &key, &until, BPF_ANY);
  count(flow->client_pod, LEAT_COUNT_direct_failed);
}

static __always_inline void add_to_edge(const struct leat_flow_event* closed, bool failed) {
  struct leat_edge* edge = edge_of(&closed->flow);
  if (!edge) return;
  __sync_fetch_and_add(failed ? &edge->failed : &edge->closed, 1);
  __sync_fetch_and_add(&edge->bytes_sent, closed->bytes_sent);
  __sync_fetch_and_add(&edge->bytes_received, closed->bytes_received);
}

static __always_inline void report_closed(struct bpf_sock_ops* ctx, struct bpf_sock* sk, const struct ends* ends,
                                          const struct leat_flow* flow) {
  __u32 state_before = ctx->args[0];
  struct tcp_sock* tcp = (struct tcp_sock*)bpf_skc_to_tcp_sock(sk);
  if (!tcp) return;
  const struct sock* inner = (const struct sock*)tcp;
  bool got_fin = inner->__sk_common.skc_flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_DONE));
  struct leat_flow_event closed = {.socket = bpf_get_socket_cookie(ctx),
                                   .now_ns = bpf_ktime_get_ns(),
                                   .bytes_sent = tcp->bytes_sent - tcp->bytes_retrans,
                                   .bytes_received = tcp->bytes_received - (got_fin ? 1 : 0),
                                   .flow = *flow,
                                   .client = ends->local.ip,
                                   .client_port = ends->local.port,
                                   .tcp_state = state_before,
                                   .error = inner->sk_err};
  // A socket that its owner closed while connecting has no error: that tells nothing about the backend.
  bool failed = state_before == BPF_TCP_SYN_SENT && closed.error;
  if (failed) eject(flow);
  add_to_edge(&closed, failed);
  if (bpf_ringbuf_output(&closed_flows, &closed, sizeof closed, 0) != 0)
    count(flow->client_pod, LEAT_COUNT_flow_events_lost);
}

static __always_inline void on_closed(struct bpf_sock_ops* ctx) {
  struct ends ends = ends_of(ctx);
  struct leat_tuple key = outgoing(&ends);
  struct leat_vouched* entry = bpf_map_lookup_elem(&direct, &key);
  if (entry && entry->client_socket == bpf_get_socket_cookie(ctx)) withdraw(&key, entry);

  struct bpf_sock* sk = ctx->sk;
  if (!sk) return;
  struct leat_flow* flow = bpf_sk_storage_get(&flows, sk, NULL, 0);
  if (flow) report_closed(ctx, sk, &ends, flow);
}

// Attached to the pods' cgroup, and to the agent's where that lies elsewhere: a socket's hooks are those of the cgroup
// that created it.
SEC("sockops")
int leat_sockops(struct bpf_sock_ops* ctx) {
  switch (ctx->op) {
    case BPF_SOCK_OPS_TCP_CONNECT_CB:
      on_connect(ctx);
      break;
    case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
      on_accepted(ctx);
      break;
    case BPF_SOCK_OPS_STATE_CB:
      if (ctx->args[1] == BPF_TCP_CLOSE) on_closed(ctx);
      break;
  }
  return PROCEED;
}

// The kubelet's probes come in plaintext, to the ports that pods declare for them and to no other. Attached to the
// kubelet's cgroup.
SEC("sockops")
int leat_sockops_kubelet(struct bpf_sock_ops* ctx) {
  if (ctx->op == BPF_SOCK_OPS_STATE_CB) {
    if (ctx->args[1] == BPF_TCP_CLOSE) on_closed(ctx);
    return PROCEED;
  }
  if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB) return PROCEED;

  const __u32 only = 0;
  struct leat_settings* known = bpf_map_lookup_elem(&settings, &only);
  if (!known || bpf_get_netns_cookie(ctx) != known->host_netns_cookie) return PROCEED;
  struct ends ends = ends_of(ctx);
  __u32* server_pod = bpf_map_lookup_elem(&pod_addresses, &ends.remote.ip);
  if (server_pod && pod_port(*server_pod, ends.remote.port, LEAT_PORT_PROBE, 0))
    vouch(ctx, &ends, LEAT_POD_HOST, *server_pod);
  return PROCEED;
}

char leat_license[] SEC("license") = "GPL";  // see connect.bpf.c
