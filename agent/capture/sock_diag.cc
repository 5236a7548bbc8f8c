#include "agent/capture/sock_diag.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <cstring>
#include <optional>
#include <unordered_set>

#include "agent/capture/closed_flows.h"
#include "agent/capture/netlink.h"

namespace leat::capture {

namespace {

constexpr uint32_t kConnectedStates = (1u << BPF_TCP_ESTABLISHED) | (1u << BPF_TCP_SYN_SENT) |
                                      (1u << BPF_TCP_FIN_WAIT1) | (1u << BPF_TCP_FIN_WAIT2) |
                                      (1u << BPF_TCP_CLOSE_WAIT) | (1u << BPF_TCP_LAST_ACK) | (1u << BPF_TCP_CLOSING);

// "All TCP sockets of a family, with their tcp_info and with what these two socket-storage maps hold of them."
struct DiagRequest {
  nlmsghdr header{
      .nlmsg_len = sizeof(DiagRequest), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};
  inet_diag_req_v2 sockets{};
  nlattr storages{.nla_len = sizeof(nlattr) + 2 * sizeof(Storage),
                  .nla_type = INET_DIAG_REQ_SK_BPF_STORAGES | NLA_F_NESTED};
  struct Storage {
    nlattr attribute{.nla_len = sizeof(Storage), .nla_type = SK_DIAG_BPF_STORAGE_REQ_MAP_FD};
    int32_t map_fd = -1;
  };
  Storage marks, flows;
};

IpAddress address_of(const inet_diag_msg& message, const __be32 (&words)[4]) {
  if (message.idiag_family == AF_INET) return IpAddress::v4(ntohl(words[0]));
  in6_addr address;
  std::memcpy(&address, words, sizeof address);
  return IpAddress::v6(address);
}

bool is_inside_the_pod(const IpAddress& address) {
  static const Cidr kAliases6 = Cidr::parse("fd6c:6561:7400::/48").value();  // bpf/alias.h
  return address.is_loopback() || kAliases6.contains(address);
}

// What the maps that were asked for have of the socket; the reply nests a value for each that has one.
struct Storages {
  bool any = false;
  std::optional<leat_flow> record;
};

Storages read_storages(const rtattr& storages, uint32_t flows_id) {
  Storages found;
  for_each_attribute(
      static_cast<const rtattr*>(RTA_DATA(&storages)), RTA_PAYLOAD(&storages), [&](const rtattr& storage) {
        uint32_t map_id = 0;
        for_each_attribute(static_cast<const rtattr*>(RTA_DATA(&storage)), RTA_PAYLOAD(&storage),
                           [&](const rtattr& part) {
                             const auto type = part.rta_type & NLA_TYPE_MASK;
                             if (type == SK_DIAG_BPF_STORAGE_MAP_ID && RTA_PAYLOAD(&part) == sizeof map_id)
                               std::memcpy(&map_id, RTA_DATA(&part), sizeof map_id);
                             if (type != SK_DIAG_BPF_STORAGE_MAP_VALUE) return;
                             found.any = true;
                             if (map_id != flows_id || RTA_PAYLOAD(&part) != sizeof(leat_flow)) return;
                             std::memcpy(&found.record.emplace(), RTA_DATA(&part), sizeof(leat_flow));
                           });
      });
  return found;
}

struct Socket {
  SocketAddress local, remote;
  Storages storages;
  uint64_t bytes_sent = 0, bytes_received = 0;
};

Socket read_socket(const nlmsghdr& reply, const inet_diag_msg& message, uint32_t flows_id) {
  Socket socket{.local = {address_of(message, message.id.idiag_src), ntohs(message.id.idiag_sport)},
                .remote = {address_of(message, message.id.idiag_dst), ntohs(message.id.idiag_dport)},
                .storages = {}};
  const size_t attribute_bytes = reply.nlmsg_len - NLMSG_LENGTH(sizeof message);
  for_each_attribute(reinterpret_cast<const rtattr*>(&message + 1), attribute_bytes, [&](const rtattr& attribute) {
    switch (attribute.rta_type & NLA_TYPE_MASK) {
      case INET_DIAG_SK_BPF_STORAGES:
        socket.storages = read_storages(attribute, flows_id);
        break;
      case INET_DIAG_INFO: {
        tcp_info info{};
        std::memcpy(&info, RTA_DATA(&attribute), std::min<size_t>(sizeof info, RTA_PAYLOAD(&attribute)));
        socket.bytes_sent = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;  // bytes_acked has SYN and FIN too
        socket.bytes_received = info.tcpi_bytes_received;
        break;
      }
      default:
        break;
    }
  });
  return socket;
}

DirectFlow direct_flow(const Socket& socket, const inet_diag_msg& message) {
  // tcpi_bytes_received counts the peer's FIN, after which nothing comes.
  const bool got_fin = message.idiag_state == BPF_TCP_CLOSE_WAIT || message.idiag_state == BPF_TCP_LAST_ACK ||
                       message.idiag_state == BPF_TCP_CLOSING;
  DirectFlow flow = from_record(*socket.storages.record);
  flow.socket_cookie = uint64_t{message.id.idiag_cookie[1]} << 32 | message.id.idiag_cookie[0];
  flow.client = socket.local;
  flow.bytes_sent = socket.bytes_sent;
  flow.bytes_received = socket.bytes_received - (got_fin && socket.bytes_received > 0 ? 1 : 0);
  flow.established = message.idiag_state != BPF_TCP_SYN_SENT;
  return flow;
}

Result<uint32_t> map_id(int fd) {
  bpf_map_info info{};
  uint32_t size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno(errno, "asking for the id of the map of flows");
  return info.id;
}

}  // namespace

Result<KernelFlows> list_kernel_flows(int marks_fd, int flows_fd) {
  LEAT_TRY(const uint32_t flows_id, map_id(flows_fd));
  KernelFlows flows;
  std::unordered_set<uint16_t> listening;
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    DiagRequest request;
    request.sockets = {.sdiag_family = family,
                       .sdiag_protocol = IPPROTO_TCP,
                       .idiag_ext = 1 << (INET_DIAG_INFO - 1),
                       .idiag_states = kConnectedStates | (1u << BPF_TCP_LISTEN)};
    request.marks.map_fd = marks_fd;
    request.flows.map_fd = flows_fd;
    LEAT_TRY_VOID(netlink_request(NETLINK_SOCK_DIAG, &request.header, [&](const nlmsghdr& reply) {
      const auto* message = static_cast<const inet_diag_msg*>(NLMSG_DATA(&reply));
      if (message->idiag_state == BPF_TCP_LISTEN) {
        listening.insert(ntohs(message->id.idiag_sport));
        return;
      }
      const Socket socket = read_socket(reply, *message, flows_id);
      if (socket.storages.record) {
        flows.direct.push_back(direct_flow(socket, *message));
      } else if (!socket.storages.any && !is_inside_the_pod(socket.remote.ip)) {
        flows.untouched.push_back({.local = socket.local,
                                   .remote = socket.remote,
                                   .bytes_sent = socket.bytes_sent,
                                   .bytes_received = socket.bytes_received,
                                   .inode = message->idiag_inode});
      }
    }));
  }
  for (UntouchedFlow& flow : flows.untouched) flow.inbound = listening.contains(flow.local.port);
  return flows;
}

}  // namespace leat::capture
