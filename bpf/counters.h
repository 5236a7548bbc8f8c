// Everything that capture counts, by name. The kernel counts a pod and a CPU; user space sums and prints the names and
// sentences.
#pragma once

#include <linux/types.h>

#define LEAT_COUNTERS(X)                                                                                 \
  X(connect_outside_mesh, "connects to destinations outside the mesh, untouched")                        \
  X(connect_captured, "connects sent to the proxy")                                                      \
  X(connect_remote_share, "connects sent to the proxy as the remote endpoints' share of a Service")      \
  X(connect_direct, "connects joined to a local pod in the kernel")                                      \
  X(connect_excluded, "connects untouched because of the pod's exclusions")                              \
  X(connect_bound_device, "connects untouched because the socket is bound to a device")                  \
  X(connect_no_proxy_untouched, "connects of a PERMISSIVE pod untouched because no proxy listens")       \
  X(connect_no_proxy_refused, "connects of a STRICT pod refused because no proxy listens")               \
  X(direct_bound, "connects sent to the proxy because the application bound the socket")                 \
  X(direct_mptcp, "connects sent to the proxy because the socket is MPTCP")                              \
  X(direct_quota, "connects sent to the proxy because the pod has too many handshakes in flight")        \
  X(direct_ejected, "connects sent to the proxy because the backend failed a moment ago")                \
  X(direct_no_storage, "connects sent to the proxy because the socket could not be given a record")      \
  X(direct_backend_missing, "connects sent to the proxy because the backend was just being replaced")    \
  X(direct_failed, "direct connects that failed; their backend is left to the proxy for a while")        \
  X(vouch_failed, "handshakes that could not be vouched for because the table was full")                 \
  X(vouch_foreign_address, "direct connects from an address that is not the pod's, not vouched for")     \
  X(inbound_application, "connections let through to the application")                                   \
  X(inbound_vouched, "connections of local pods let through to the application, vouched for")            \
  X(inbound_excluded, "connections let through to the application because of the pod's exclusions")      \
  X(inbound_hbone, "tunnel connections given to the proxy")                                              \
  X(inbound_plaintext, "plaintext connections given to the proxy")                                       \
  X(outbound_alias, "connections to an alias given to the proxy")                                        \
  X(drop_spoofed, "packets from the wire to a loopback, alias or listener address")                      \
  X(drop_alias_no_listener, "connections to an alias refused because no proxy listens")                  \
  X(drop_listener_address, "connections to a listener's own address refused")                            \
  X(drop_no_listener, "connections to a STRICT pod refused because no proxy listens")                    \
  X(flow_events_lost, "closed direct flows that could not be reported because the ring buffer was full") \
  X(edges_full, "closed direct flows that could not be added to a total because the table was full")

enum leat_counter {
#define LEAT_COUNTER_NAME(name, help) LEAT_COUNT_##name,
  LEAT_COUNTERS(LEAT_COUNTER_NAME) LEAT_COUNTERS_TOTAL
#undef LEAT_COUNTER_NAME
};

/* One row a pod; LEAT_POD_HOST's row counts what is not of a pod. */
struct leat_counters {
  __u64 by_reason[LEAT_COUNTERS_TOTAL];
};
