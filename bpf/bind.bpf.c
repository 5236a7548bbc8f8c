// Keeps the application's ports free. The proxy's sockets in a pod's namespace have ports there: what it accepted at an
// alias has the destination's, what it dials (a local client's connection, a remote client's, a tunnel) one that the
// kernel chose. A later bind() of the application to such a port would fail with EADDRINUSE, unless both sockets have
// SO_REUSEADDR; the proxy's have. So the application's gets it, for just those ports. What SO_REUSEADDR never allows,
// two listeners on one port, stays refused. Attached to the pods' cgroup.
#include "bpf/address.h"
#include "bpf/maps.h"

#define PROCEED 1
#define SOL_SOCKET 1
#define SO_REUSEADDR 2

static __always_inline int share_port(struct bpf_sock_addr* ctx) {
  __u16 port = bpf_ntohs(ctx->user_port);
  if (!port || !is_tcp(ctx)) return PROCEED;
  if (!is_port_of_proxy(bpf_get_netns_cookie(ctx), port)) return PROCEED;
  int on = 1;
  bpf_setsockopt(ctx, SOL_SOCKET, SO_REUSEADDR, &on,
                 sizeof on);  // refused before kernel 6.1: then bind() is as strict as it is
  return PROCEED;
}

SEC("cgroup/bind4")
int leat_bind4(struct bpf_sock_addr* ctx) { return share_port(ctx); }

SEC("cgroup/bind6")
int leat_bind6(struct bpf_sock_addr* ctx) { return share_port(ctx); }

char leat_license[] SEC("license") = "GPL";  // see connect.bpf.c
