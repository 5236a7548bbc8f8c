// The alias scheme, once for kernel programs (C) and user space (C++): an alias is the loopback address that stands for
// an address of the mesh while a connection passes the proxy. A 22-bit id is written into one of two blocks:
//   destination block  127.128.0.0/10   fd6c:6561:7400:d::<id>    what an application's connect() is rewritten to
//   source block       127.192.0.0/10   fd6c:6561:7400:5::<id>    what the proxy binds to dial for a remote client
// 127/8 is local in every network namespace; the IPv6 prefix fd6c:6561:7400::/48 is made local by one route in the
// pod's namespace.
#pragma once

#define LEAT_ALIAS_ID_BITS 22
#define LEAT_ALIAS_ID_MASK 0x003fffffu
#define LEAT_ALIAS_ID_MAX 0x003ffffeu /* the last one would be 127.255.255.255 in the source block */
#define LEAT_ALIAS_BLOCK_MASK 0xffc00000u
#define LEAT_ALIAS_DESTINATION_BLOCK 0x7f800000u /* host order */
#define LEAT_ALIAS_SOURCE_BLOCK 0x7fc00000u
/* IPv6, as four 32-bit words in host order: PREFIX0, PREFIX1 | {d,5}, 0, id */
#define LEAT_ALIAS6_WORD0 0xfd6c6561u
#define LEAT_ALIAS6_DESTINATION_WORD1 0x7400000du
#define LEAT_ALIAS6_SOURCE_WORD1 0x74000005u

/* What an id that nobody knows decodes to: never a loopback address, for applications trust localhost. */
#define LEAT_UNKNOWN_PEER_V4 0xc0000008u     /* 192.0.0.8, RFC 7600 dummy address, host order */
#define LEAT_UNKNOWN_PEER6_WORD0 0x01000000u /* 100::, RFC 6666 discard-only */

/* In-pod listeners: 127.127.0.{1,2,3}, fd6c:6561:7400:f::{1,2,3}, always this port. */
#define LEAT_LISTENER_PORT 15008
#define LEAT_LISTENER_NET 0x7f7f0000u /* + role + 1 */
#define LEAT_LISTENER6_WORD1 0x7400000fu
