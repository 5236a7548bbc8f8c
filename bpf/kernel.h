// The few fields of the kernel's own structures that the programs read. Their offsets here mean nothing: each access is
// relocated by name against the running kernel's BTF when the program is loaded (CO-RE), so no header comes from the
// build machine's kernel.
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define IPPROTO_TCP 6
#define IPPROTO_MPTCP 262
#define LOOPBACK_IFINDEX 1 /* the same in every network namespace */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct leat_in6 {
  __u32 words[4];
};

typedef struct {
  long long counter;
} atomic64_t;

struct sock_common {
  unsigned short skc_family;
  volatile unsigned char skc_state;
  __be32 skc_daddr;
  __be32 skc_rcv_saddr;
  __u16 skc_num; /* host order */
  struct leat_in6 skc_v6_rcv_saddr;
  atomic64_t skc_cookie;
  unsigned long skc_flags;
};

struct sock {
  struct sock_common __sk_common;
  int sk_err;
};

struct tcp_sock {
  __u64 bytes_received; /* counts a FIN as one byte */
  __u64 bytes_sent;     /* payload, with retransmissions */
  __u64 bytes_retrans;
  bool is_mptcp;
};

struct seq_file;
struct bpf_iter_meta {
  struct seq_file* seq;
};
struct bpf_iter__bpf_sk_storage_map {
  struct bpf_iter_meta* meta;
  struct sock* sk;
  void* value;
};

enum sock_flags { SOCK_DONE = 1 };

#pragma clang attribute pop
