// Outbound capture: what connect() of a pod's process becomes. Attached to the pods' cgroup. A destination of the mesh
// is rewritten to its alias (the proxy's), or straight to a local backend where nothing needs user space; everything
// else stays as it is.
#include "bpf/address.h"
#include "bpf/maps.h"

#define REFUSE 0 /* EPERM */
#define PROCEED 1

// MPTCP connects by a subflow, a plain TCP socket that the application never sees: what is stored on it can't be found
// again.
static __always_inline bool is_mptcp(struct bpf_sock_addr* ctx) {
  if (ctx->protocol == IPPROTO_MPTCP) return true;
  if (!bpf_core_field_exists(struct tcp_sock, is_mptcp)) return false;
  struct tcp_sock* tcp = (struct tcp_sock*)bpf_skc_to_tcp_sock(ctx->sk);
  return tcp && tcp->is_mptcp;
}

static __always_inline bool is_bound(const struct bpf_sock* sk) {
  return sk->src_port || sk->src_ip4 || LEAT_WORD(sk->src_ip6[0]) || LEAT_WORD(sk->src_ip6[1]) ||
         LEAT_WORD(sk->src_ip6[2]) || LEAT_WORD(sk->src_ip6[3]);
}

static __always_inline bool proxy_listens(__u32 pod, bool v4) {
  __u32 slot = LEAT_SLOT(pod, LEAT_ROLE_OUTBOUND, v4 ? 0 : 1);
  struct bpf_sock* listener = bpf_map_lookup_elem(&slots, &slot);
  if (!listener) return false;
  bool listens = listener->state == BPF_TCP_LISTEN;  // a killed one stays in its slot, closed
  bpf_sk_release(listener);
  return listens;
}

static __always_inline bool is_excluded(const struct leat_pod* config, __u32 pod, const struct leat_endpoint* to) {
  if (!(config->flags & LEAT_POD_EXCLUDES_OUTBOUND)) return false;
  return pod_port(pod, to->port, LEAT_PORT_EXCLUDED_OUTBOUND, 0) ||
         network_excluded(pod, LEAT_NETWORK_OUTBOUND, &to->ip);
}

static __always_inline bool is_ejected(__u32 pod, const struct leat_backend* backend) {
  struct leat_ejection key = {.backend = backend->ip, .port = backend->port, .client_pod = pod};
  __u64* until = bpf_map_lookup_elem(&ejected, &key);
  return until && *until > bpf_ktime_get_ns();
}

static __always_inline bool may_vouch(__u32 pod) {
  const __u32 only = 0;
  struct leat_settings* limits = bpf_map_lookup_elem(&settings, &only);
  __u64* in_flight = bpf_map_lookup_elem(&pending, &pod);
  return limits && in_flight && *in_flight < limits->pending_per_pod_max;
}

// The backend at `slot` of a Service's port, if this very connect may go to it in the kernel; else why not is counted.
static __always_inline bool choose_backend(struct bpf_sock_addr* ctx, __u32 pod, struct leat_service_key key,
                                           __u32 slot, __u16 asked_port, struct leat_backend* chosen) {
  if (is_bound(ctx->sk))
    return count(pod, LEAT_COUNT_direct_bound), false;  // two VIPs may share a backend: the 4-tuples would collide
  if (is_mptcp(ctx)) return count(pod, LEAT_COUNT_direct_mptcp), false;
  if (!may_vouch(pod)) return count(pod, LEAT_COUNT_direct_quota), false;

  key.slot = slot;
  struct leat_backend* backend = bpf_map_lookup_elem(&backends, &key);
  if (!backend) return count(pod, LEAT_COUNT_direct_backend_missing), false;
  *chosen = *backend;
  if (chosen->port == LEAT_ANY_PORT) chosen->port = asked_port;
  if (is_ejected(pod, chosen)) return count(pod, LEAT_COUNT_direct_ejected), false;
  return true;
}

// Leaves the record that sockops vouches by, getpeername answers from, and `leat flows` shows.
static __always_inline bool remember(struct bpf_sock_addr* ctx, __u32 pod, __u32 alias,
                                     const struct leat_endpoint* asked, const struct leat_backend* backend) {
  struct leat_flow record = {.started_ns = bpf_ktime_get_ns(),
                             .requested = asked->ip,
                             .backend = backend->ip,
                             .requested_port = asked->port,
                             .backend_port = backend->port,
                             .client_pod = pod,
                             .backend_pod = backend->pod,
                             .alias = alias};
  if (bpf_sk_storage_get(&flows, ctx->sk, &record, BPF_SK_STORAGE_GET_F_CREATE)) return true;
  count(pod, LEAT_COUNT_direct_no_storage);
  return false;
}

// Tries to serve the connect in the kernel: `to` becomes a backend. Otherwise `alias` is the id to take, the Service's
// own or, for the share of its remote endpoints, the one that stands for those alone.
static __always_inline bool connect_directly(struct bpf_sock_addr* ctx, __u32 pod, struct leat_endpoint* to,
                                             __u32* alias) {
  struct leat_service_key key = {.alias = *alias, .port = to->port};
  struct leat_service* service = bpf_map_lookup_elem(&services, &key);
  if (!service && to->port != LEAT_LISTENER_PORT) {
    key.port = LEAT_ANY_PORT;
    service = bpf_map_lookup_elem(&services, &key);
  }
  if (!service || !service->total) return false;

  __u32 share = bpf_get_prandom_u32() % service->total;
  if (share >= service->local) {
    *alias = service->remote_alias;
    count(pod, LEAT_COUNT_connect_remote_share);
    return false;
  }
  struct leat_backend backend;
  if (!choose_backend(ctx, pod, key, share, to->port, &backend)) return false;
  if (!remember(ctx, pod, *alias, to, &backend)) return false;
  to->ip = backend.ip;
  to->port = backend.port;
  return true;
}

// Decides one connect(). `to` is what the application asked for and, on return, where the connection goes.
static __always_inline int outbound(struct bpf_sock_addr* ctx, struct leat_endpoint* to) {
  if (!is_tcp(ctx)) return PROCEED;
  __u64 cookie = bpf_get_netns_cookie(ctx);
  struct leat_namespace* home = bpf_map_lookup_elem(&namespaces, &cookie);
  if (!home || home->pod >= LEAT_PODS_MAX) return PROCEED;
  __u32 pod = home->pod;
  struct leat_pod* config = bpf_map_lookup_elem(&pods, &pod);
  if (!config) return PROCEED;

  if (bpf_sk_storage_get(&marks, ctx->sk, NULL, 0)) return PROCEED;
  bpf_sk_storage_delete(&flows, ctx->sk);  // of an earlier connect() that was undone with AF_UNSPEC

  __u32* known = bpf_map_lookup_elem(&destinations, &to->ip);
  if (!known) return count(pod, LEAT_COUNT_connect_outside_mesh), PROCEED;
  __u32 alias = *known;
  if (same_ip(&to->ip, &config->v4) || same_ip(&to->ip, &config->v6)) return PROCEED;

  __u32 device = ctx->sk->bound_dev_if;  // bound to the wire, it could not reach the alias, which is on loopback
  if (device && device != LOOPBACK_IFINDEX) return count(pod, LEAT_COUNT_connect_bound_device), PROCEED;
  if (is_excluded(config, pod, to)) return count(pod, LEAT_COUNT_connect_excluded), PROCEED;

  bool v4 = is_v4(&to->ip);
  if (!proxy_listens(pod, v4)) {
    if (config->flags & LEAT_POD_STRICT) return count(pod, LEAT_COUNT_connect_no_proxy_refused), REFUSE;
    return count(pod, LEAT_COUNT_connect_no_proxy_untouched), PROCEED;
  }
  if (connect_directly(ctx, pod, to, &alias)) return count(pod, LEAT_COUNT_connect_direct), PROCEED;

  remember_port(cookie, to->port);  // the proxy's end of this connection will have it here
  to->ip = destination_alias(alias, v4);
  count(pod, LEAT_COUNT_connect_captured);
  return PROCEED;
}

SEC("cgroup/connect4")
int leat_connect4(struct bpf_sock_addr* ctx) {
  struct leat_endpoint to = {.ip = mapped(ctx->user_ip4), .port = bpf_ntohs(ctx->user_port)};
  int verdict = outbound(ctx, &to);
  ctx->user_ip4 = to.ip.word[3];
  ctx->user_port = bpf_htons(to.port);
  return verdict;
}

// Also for v4-mapped destinations: they come out v4-mapped.
SEC("cgroup/connect6")
int leat_connect6(struct bpf_sock_addr* ctx) {
  struct leat_endpoint to = {.ip = LEAT_IP_OF_CONTEXT(ctx->user_ip6), .port = bpf_ntohs(ctx->user_port)};
  int verdict = outbound(ctx, &to);
  ctx->user_ip6[0] = to.ip.word[0];
  ctx->user_ip6[1] = to.ip.word[1];
  ctx->user_ip6[2] = to.ip.word[2];
  ctx->user_ip6[3] = to.ip.word[3];
  ctx->user_port = bpf_htons(to.port);
  return verdict;
}

// The kernel offers the helpers used here (socket storage, sk_lookup's slots) to programs under this licence only; the
// word is for it.
char leat_license[] SEC("license") = "GPL";
