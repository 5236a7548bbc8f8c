// Inbound capture: who gets a SYN that reaches the pod. Attached to the pod's network namespace. Such a program can't
// ask in which namespace it runs, so it is loaded once a pod, with the pod's index and addresses in its read-only data.
#include "bpf/address.h"
#include "bpf/maps.h"

const volatile __u32 pod = LEAT_POD_NONE;
const volatile struct leat_ip own_v4 = {};
const volatile struct leat_ip own_v6 = {};
/* From kernel 5.17. Without it only IPv4 is captured: there the kernel keeps 127/8 off the wire itself. */
const volatile __u32 has_ingress_ifindex = 1;

struct arrival {
  struct leat_endpoint local;
  struct leat_endpoint remote;
  bool v4;
};

static __always_inline struct arrival arrival_of(struct bpf_sk_lookup* ctx) {
  struct arrival seen = {
      .local.port = ctx->local_port, .remote.port = bpf_ntohs(ctx->remote_port), .v4 = ctx->family == AF_INET};
  if (seen.v4) {
    seen.local.ip = mapped(ctx->local_ip4);
    seen.remote.ip = mapped(ctx->remote_ip4);
  } else {
    seen.local.ip = LEAT_IP_OF_CONTEXT(ctx->local_ip6);
    seen.remote.ip = LEAT_IP_OF_CONTEXT(ctx->remote_ip6);
  }
  return seen;
}

static __always_inline bool is_own(const struct leat_ip* ip) {
  struct leat_ip v4 = LEAT_IP_OF_CONTEXT(own_v4.word);
  struct leat_ip v6 = LEAT_IP_OF_CONTEXT(own_v6.word);
  return same_ip(ip, &v4) || same_ip(ip, &v6);
}

// The interface tells only where the local address is loopback's own, as aliases are: there a neighbour's packet stands
// out. A packet to the pod's address is reported with the interface that holds the address even if it never left the
// pod (rt_iif of IPv4's output route, the idev of IPv6's). There the source tells: an answer to a loopback address, an
// alias or the pod's own address never leaves the pod, so that no neighbour can finish a handshake from one.
static __always_inline bool on_loopback(struct bpf_sk_lookup* ctx, const struct arrival* seen) {
  if (is_namespace_private(&seen->local.ip)) return !has_ingress_ifindex || ctx->ingress_ifindex == LOOPBACK_IFINDEX;
  return is_namespace_private(&seen->remote.ip) || is_own(&seen->remote.ip) ||
         same_ip(&seen->remote.ip, &seen->local.ip);
}

static __always_inline int drop(enum leat_counter reason) {
  count(pod, reason);
  return SK_DROP;
}

static __always_inline int pass(enum leat_counter reason) {
  count(pod, reason);
  return SK_PASS;
}

static __always_inline bool give_to_listener(struct bpf_sk_lookup* ctx, __u32 role, bool v4) {
  __u32 slot = LEAT_SLOT(pod, role, v4 ? 0 : 1);
  struct bpf_sock* listener = bpf_map_lookup_elem(&slots, &slot);
  if (!listener) return false;
  long failed = bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_NO_REUSEPORT);
  bpf_sk_release(listener);
  return failed == 0;
}

static __always_inline bool is_vouched(const struct arrival* seen) {
  struct leat_tuple key = {.client = seen->remote.ip,
                           .server = seen->local.ip,
                           .client_port = seen->remote.port,
                           .server_port = seen->local.port};
  struct leat_vouched* entry = bpf_map_lookup_elem(&direct, &key);
  return entry && entry->server_pod == pod;
}

static __always_inline bool is_excluded(const struct leat_pod* config, const struct arrival* seen) {
  if (!(config->flags & LEAT_POD_EXCLUDES_INBOUND)) return false;
  return pod_port(pod, seen->local.port, LEAT_PORT_EXCLUDED_INBOUND, 0) ||
         network_excluded(pod, LEAT_NETWORK_INBOUND, &seen->remote.ip);
}

static __always_inline bool forbids_plaintext(const struct leat_pod* config, __u16 port) {
  __u32 mode = config->flags & LEAT_POD_STRICT ? LEAT_MTLS_STRICT : LEAT_MTLS_PERMISSIVE;
  if (config->flags & LEAT_POD_PORT_MTLS) mode = pod_port(pod, port, LEAT_PORT_MTLS, mode);
  return mode == LEAT_MTLS_STRICT;
}

static __always_inline int from_this_pod(struct bpf_sk_lookup* ctx, const struct arrival* seen) {
  __u32 id;
  if (alias_id(&seen->local.ip, &id)) {
    // Refused without a listener: an application on the same port would answer in the destination's name.
    if (!give_to_listener(ctx, LEAT_ROLE_OUTBOUND, seen->v4)) return drop(LEAT_COUNT_drop_alias_no_listener);
    return pass(LEAT_COUNT_outbound_alias);
  }
  if (is_listener_address(&seen->local.ip)) return drop(LEAT_COUNT_drop_listener_address);
  return SK_PASS;
}

static __always_inline int from_outside(struct bpf_sk_lookup* ctx, const struct arrival* seen) {
  if (is_namespace_private(&seen->local.ip)) return drop(LEAT_COUNT_drop_spoofed);

  __u32 row = pod;
  struct leat_pod* config = bpf_map_lookup_elem(&pods, &row);
  if (!config) return SK_DROP;  // the index is in range: can't be

  if (seen->local.port == LEAT_LISTENER_PORT) {
    if (give_to_listener(ctx, LEAT_ROLE_HBONE, seen->v4)) return pass(LEAT_COUNT_inbound_hbone);
    if (config->flags & LEAT_POD_STRICT) return drop(LEAT_COUNT_drop_no_listener);
    return pass(LEAT_COUNT_inbound_application);
  }
  if (is_vouched(seen)) return pass(LEAT_COUNT_inbound_vouched);
  if (is_excluded(config, seen)) return pass(LEAT_COUNT_inbound_excluded);
  if (!forbids_plaintext(config, seen->local.port)) return pass(LEAT_COUNT_inbound_application);
  if (give_to_listener(ctx, LEAT_ROLE_PLAINTEXT, seen->v4)) return pass(LEAT_COUNT_inbound_plaintext);
  return drop(LEAT_COUNT_drop_no_listener);
}

SEC("sk_lookup")
int leat_inbound(struct bpf_sk_lookup* ctx) {
  if (ctx->protocol != IPPROTO_TCP) return SK_PASS;
  struct arrival seen = arrival_of(ctx);
  return on_loopback(ctx, &seen) ? from_this_pod(ctx, &seen) : from_outside(ctx, &seen);
}

char leat_license[] SEC("license") = "GPL";  // see connect.bpf.c
