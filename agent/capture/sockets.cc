#include "agent/capture/sockets.h"

#include <bpf/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "agent/capture/limits.h"
#include "bpf/alias.h"

namespace leat::capture {

namespace {

#ifndef IPV6_FREEBIND
constexpr int IPV6_FREEBIND = 78;  // linux/in6.h, which can't be included beside netinet/in.h
#endif

Result<void> set_option(int socket, int level, int option, const char* name) {
  const int on = 1;
  if (setsockopt(socket, level, option, &on, sizeof on) == 0) return {};
  return fail_errno(errno, "setting {} on a socket of a pod", name);
}

Result<UniqueFd> make_socket(bool ipv6) {
  UniqueFd made(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!made) return fail_errno(errno, "making an {} socket in a pod", ipv6 ? "IPv6" : "IPv4");
  if (ipv6) {
    LEAT_TRY_VOID(set_option(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY"));
    LEAT_TRY_VOID(
        set_option(made.get(), IPPROTO_IPV6, IPV6_FREEBIND, "IPV6_FREEBIND"));  // aliases are local by a route only
  }
  return made;
}

// A pod can't do this: it has no way to the map.
Result<void> mark(int socket, leat_mark value, int marks_fd) {
  if (bpf_map_update_elem(marks_fd, &socket, &value, BPF_ANY) == 0) return {};
  return fail_errno(errno, "marking a socket as the proxy's");
}

Result<void> bind_listener(int socket, v1::ListenerRole role, bool ipv6) {
  const uint32_t host_part = static_cast<uint32_t>(role) + 1;
  int bound = 0;
  if (ipv6) {
    sockaddr_in6 address{.sin6_family = AF_INET6, .sin6_port = htons(LEAT_LISTENER_PORT)};
    address.sin6_addr.s6_addr32[0] = htonl(LEAT_ALIAS6_WORD0);
    address.sin6_addr.s6_addr32[1] = htonl(LEAT_LISTENER6_WORD1);
    address.sin6_addr.s6_addr32[3] = htonl(host_part);
    bound = bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    const sockaddr_in address{.sin_family = AF_INET,
                              .sin_port = htons(LEAT_LISTENER_PORT),
                              .sin_addr = {htonl(LEAT_LISTENER_NET | host_part)}};
    bound = bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (bound == 0) return {};
  return fail_errno(errno,
                    "binding a listener to {}{}, port {} (is the pod's loopback interface up, and the port free?)",
                    ipv6 ? "fd6c:6561:7400:f::" : "127.127.0.", host_part, LEAT_LISTENER_PORT);
}

}  // namespace

Result<UniqueFd> make_listener(v1::ListenerRole role, bool ipv6, uint32_t pod_index, int marks_fd) {
  LEAT_TRY(UniqueFd made, make_socket(ipv6));
  // A dead listener's connections may still hold the port. Never SO_REUSEPORT: a process of the pod could join and take
  // connections.
  LEAT_TRY_VOID(set_option(made.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"));
  // Connections inherit it, also those that wait for a first proxy: one tunnel without it, and every answer in it would
  // wait 40 ms for the peer's delayed ACK.
  LEAT_TRY_VOID(set_option(made.get(), IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"));
  LEAT_TRY_VOID(bind_listener(made.get(), role, ipv6));
  LEAT_TRY_VOID(mark(made.get(), {.kind = LEAT_MARK_LISTENER, .pod = pod_index}, marks_fd));
  if (listen(made.get(), limits::kListenBacklog) != 0) return fail_errno(errno, "listening in a pod");
  return made;
}

Result<UniqueFd> make_broker_socket(bool ipv6, uint32_t pod_index, int marks_fd) {
  LEAT_TRY(UniqueFd made, make_socket(ipv6));
  LEAT_TRY_VOID(mark(made.get(), {.kind = LEAT_MARK_BROKER, .pod = pod_index}, marks_fd));
  LEAT_TRY_VOID(set_option(made.get(), IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"));
  // Shares the port that connect() will choose with a later bind() of the application (bpf/bind.bpf.c).
  LEAT_TRY_VOID(set_option(made.get(), SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR"));
  // Bound to a source alias with port 0, it must not take a port from the application's range before it connects.
  LEAT_TRY_VOID(set_option(made.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "IP_BIND_ADDRESS_NO_PORT"));
  return made;
}

Result<uint64_t> socket_cookie(int socket) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0)
    return fail_errno(errno, "reading a socket's cookie");
  return cookie;
}

uint32_t listen_backlog(int listener) {
  tcp_info info{};
  socklen_t size = sizeof info;
  // Of a listening socket this field is the backlog's limit (tcp_get_info, net/ipv4/tcp.c).
  return getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_sacked : 0;
}

}  // namespace leat::capture
