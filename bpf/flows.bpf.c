// Lists the kernel-direct connections that are there now: an iterator over the sockets that carry a record, with their
// own byte counts.
#include "bpf/address.h"
#include "bpf/maps.h"

static __always_inline struct leat_ip own_address(const struct sock* sk) {
  if (sk->__sk_common.skc_family == AF_INET) return mapped(sk->__sk_common.skc_rcv_saddr);
  struct leat_ip ip;
  bpf_core_read(&ip, sizeof ip, &sk->__sk_common.skc_v6_rcv_saddr);
  return ip;
}

SEC("iter/bpf_sk_storage_map")
int leat_flows(struct bpf_iter__bpf_sk_storage_map* ctx) {
  struct sock* sk = ctx->sk;
  const struct leat_flow* flow = ctx->value;
  if (!sk || !flow) return 0;
  struct tcp_sock* tcp = (struct tcp_sock*)bpf_skc_to_tcp_sock(sk);
  if (!tcp || sk->__sk_common.skc_state == BPF_TCP_CLOSE) return 0;  // closed ones were reported by sockops

  bool got_fin = sk->__sk_common.skc_flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_DONE));
  struct leat_flow_event open = {.socket = sk->__sk_common.skc_cookie.counter,
                                 .now_ns = bpf_ktime_get_ns(),
                                 .bytes_sent = tcp->bytes_sent - tcp->bytes_retrans,
                                 .bytes_received = tcp->bytes_received - (got_fin ? 1 : 0),
                                 .flow = *flow,
                                 .client = own_address(sk),
                                 .client_port = sk->__sk_common.skc_num,
                                 .tcp_state = sk->__sk_common.skc_state};
  bpf_seq_write(ctx->meta->seq, &open, sizeof open);
  return 0;
}

char leat_license[] SEC("license") = "GPL";  // see connect.bpf.c
