// What an application sees of its connections: getpeername() and getsockname() (and so accept(), which asks the former)
// turn aliases back into the addresses that they stand for. Attached to the pods' cgroup, before connect() is captured
// and until after it no longer is. Decoding is by id alone, so that nothing can be stale; only a kernel-direct
// connection has a record, for there a backend stands in.
#include "bpf/address.h"
#include "bpf/maps.h"

static __always_inline struct leat_ip decode(__u32 id, bool v4) {
  struct leat_ip* address = bpf_map_lookup_elem(&alias_addresses, &id);
  if (address && is_v4(address) == v4) return *address;
  // Never a loopback address: applications trust localhost.
  if (v4) return mapped(bpf_htonl(LEAT_UNKNOWN_PEER_V4));
  return (struct leat_ip){{bpf_htonl(LEAT_UNKNOWN_PEER6_WORD0), 0, 0, 0}};
}

// The namespace's entry if its sockets are ours to translate: enrolled now or once, and not a socket of the proxy.
static __always_inline struct leat_namespace* translated(struct bpf_sock_addr* ctx) {
  if (!is_tcp(ctx) || bpf_sk_storage_get(&marks, ctx->sk, NULL, 0)) return NULL;
  __u64 cookie = bpf_get_netns_cookie(ctx);
  return bpf_map_lookup_elem(&namespaces, &cookie);
}

static __always_inline bool peer_name(struct bpf_sock_addr* ctx, struct leat_endpoint* name) {
  __u32 id;
  if (alias_id(&name->ip, &id)) {
    if (!translated(ctx)) return false;
    name->ip = decode(id, is_v4(&name->ip));
    return true;
  }
  struct leat_flow* flow = bpf_sk_storage_get(&flows, ctx->sk, NULL, 0);
  if (!flow || flow->backend_port != name->port || !same_ip(&flow->backend, &name->ip)) return false;
  name->ip = flow->requested;
  name->port = flow->requested_port;
  return true;
}

// An unbound socket that connected to an alias has a loopback address of its own; the application expects its pod's.
static __always_inline bool own_name(struct bpf_sock_addr* ctx, const struct leat_ip* peer, struct leat_ip* name) {
  __u32 id;
  if (!is_namespace_private(name) || !alias_id(peer, &id)) return false;
  struct leat_namespace* home = translated(ctx);
  if (!home) return false;
  *name = is_v4(name) ? home->v4 : home->v6;
  return true;
}

SEC("cgroup/getpeername4")
int leat_getpeername4(struct bpf_sock_addr* ctx) {
  struct leat_endpoint name = {.ip = mapped(ctx->user_ip4), .port = bpf_ntohs(ctx->user_port)};
  if (!peer_name(ctx, &name)) return 1;
  ctx->user_ip4 = name.ip.word[3];
  ctx->user_port = bpf_htons(name.port);
  return 1;
}

SEC("cgroup/getpeername6")
int leat_getpeername6(struct bpf_sock_addr* ctx) {
  struct leat_endpoint name = {.ip = LEAT_IP_OF_CONTEXT(ctx->user_ip6), .port = bpf_ntohs(ctx->user_port)};
  if (!peer_name(ctx, &name)) return 1;
  ctx->user_ip6[0] = name.ip.word[0];
  ctx->user_ip6[1] = name.ip.word[1];
  ctx->user_ip6[2] = name.ip.word[2];
  ctx->user_ip6[3] = name.ip.word[3];
  ctx->user_port = bpf_htons(name.port);
  return 1;
}

SEC("cgroup/getsockname4")
int leat_getsockname4(struct bpf_sock_addr* ctx) {
  struct leat_ip name = mapped(ctx->user_ip4);
  struct leat_ip peer = mapped(ctx->sk->dst_ip4);
  if (own_name(ctx, &peer, &name)) ctx->user_ip4 = name.word[3];
  return 1;
}

SEC("cgroup/getsockname6")
int leat_getsockname6(struct bpf_sock_addr* ctx) {
  struct leat_ip name = LEAT_IP_OF_CONTEXT(ctx->user_ip6);
  struct leat_ip peer = LEAT_IP_OF_CONTEXT(ctx->sk->dst_ip6);
  if (!own_name(ctx, &peer, &name)) return 1;
  ctx->user_ip6[0] = name.word[0];
  ctx->user_ip6[1] = name.word[1];
  ctx->user_ip6[2] = name.word[2];
  ctx->user_ip6[3] = name.word[3];
  return 1;
}

char leat_license[] SEC("license") = "GPL";  // see connect.bpf.c
