// Questions about sockets' addresses: their one 16-byte form (types.h), and the alias scheme (alias.h) on it.
#pragma once

#include "bpf/alias.h"
#include "bpf/kernel.h"
#include "bpf/types.h"

// A 32-bit word of a program's context. Volatile: the verifier refuses the wider loads that the compiler would make of
// neighbours.
#define LEAT_WORD(field) (*(const volatile __u32*)&(field))
#define LEAT_IP_OF_CONTEXT(words) \
  ((struct leat_ip){{LEAT_WORD((words)[0]), LEAT_WORD((words)[1]), LEAT_WORD((words)[2]), LEAT_WORD((words)[3])}})

static __always_inline bool is_tcp(const struct bpf_sock_addr* ctx) {
  return ctx->type == SOCK_STREAM && (ctx->protocol == IPPROTO_TCP || ctx->protocol == IPPROTO_MPTCP);
}

static __always_inline struct leat_ip mapped(__u32 v4_network_order) {
  return (struct leat_ip){{0, 0, bpf_htonl(0xffff), v4_network_order}};
}

static __always_inline bool is_v4(const struct leat_ip* ip) {
  return ip->word[0] == 0 && ip->word[1] == 0 && ip->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool same_ip(const struct leat_ip* a, const struct leat_ip* b) {
  return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] && a->word[3] == b->word[3];
}

static __always_inline bool is_loopback(const struct leat_ip* ip) {
  if (is_v4(ip)) return (bpf_ntohl(ip->word[3]) >> 24) == 127;
  return ip->word[0] == 0 && ip->word[1] == 0 && ip->word[2] == 0 && ip->word[3] == bpf_htonl(1);
}

// fd6c:6561:7400::/48: aliases and listeners of IPv6.
static __always_inline bool in_alias6_prefix(const struct leat_ip* ip) {
  return ip->word[0] == bpf_htonl(LEAT_ALIAS6_WORD0) &&
         (bpf_ntohl(ip->word[1]) >> 16) == (LEAT_ALIAS6_DESTINATION_WORD1 >> 16);
}

// What only this namespace itself may use: 127/8, ::1, and Leat's own IPv6 prefix.
static __always_inline bool is_namespace_private(const struct leat_ip* ip) {
  return is_loopback(ip) || in_alias6_prefix(ip);
}

static __always_inline bool is_listener_address(const struct leat_ip* ip) {
  if (is_v4(ip)) return (bpf_ntohl(ip->word[3]) & 0xffffff00u) == LEAT_LISTENER_NET;
  return in_alias6_prefix(ip) && ip->word[1] == bpf_htonl(LEAT_LISTENER6_WORD1);
}

// The id in an alias of either block; false for any other address.
static __always_inline bool alias_id(const struct leat_ip* ip, __u32* id) {
  if (is_v4(ip)) {
    __u32 host = bpf_ntohl(ip->word[3]);
    __u32 block = host & LEAT_ALIAS_BLOCK_MASK;
    *id = host & LEAT_ALIAS_ID_MASK;
    return block == LEAT_ALIAS_DESTINATION_BLOCK || block == LEAT_ALIAS_SOURCE_BLOCK;
  }
  *id = bpf_ntohl(ip->word[3]);
  return ip->word[0] == bpf_htonl(LEAT_ALIAS6_WORD0) && ip->word[2] == 0 &&
         (ip->word[1] == bpf_htonl(LEAT_ALIAS6_DESTINATION_WORD1) ||
          ip->word[1] == bpf_htonl(LEAT_ALIAS6_SOURCE_WORD1));
}

static __always_inline struct leat_ip destination_alias(__u32 id, bool v4) {
  if (v4) return mapped(bpf_htonl(LEAT_ALIAS_DESTINATION_BLOCK | id));
  return (struct leat_ip){{bpf_htonl(LEAT_ALIAS6_WORD0), bpf_htonl(LEAT_ALIAS6_DESTINATION_WORD1), 0, bpf_htonl(id)}};
}
