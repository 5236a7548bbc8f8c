#include "agent/capture/sock_diag.h"

#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#include <cstring>
#include <unordered_set>

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

// Whether one of the maps that were asked for knows the socket: then the reply nests a value in its storages.
bool has_storage(const rtattr& storages) {
  bool found = false;
  for_each_attribute(
      static_cast<const rtattr*>(RTA_DATA(&storages)), RTA_PAYLOAD(&storages), [&](const rtattr& storage) {
        for_each_attribute(
            static_cast<const rtattr*>(RTA_DATA(&storage)), RTA_PAYLOAD(&storage),
            [&](const rtattr& part) { found |= (part.rta_type & NLA_TYPE_MASK) == SK_DIAG_BPF_STORAGE_MAP_VALUE; });
      });
  return found;
}

struct Listed {
  UntouchedFlow flow;
  bool ours = false;
};

Listed read_socket(const nlmsghdr& reply, const inet_diag_msg& message) {
  Listed listed{.flow = {.local = {address_of(message, message.id.idiag_src), ntohs(message.id.idiag_sport)},
                         .remote = {address_of(message, message.id.idiag_dst), ntohs(message.id.idiag_dport)},
                         .inode = message.idiag_inode}};
  const size_t attribute_bytes = reply.nlmsg_len - NLMSG_LENGTH(sizeof message);
  for_each_attribute(reinterpret_cast<const rtattr*>(&message + 1), attribute_bytes, [&](const rtattr& attribute) {
    switch (attribute.rta_type & NLA_TYPE_MASK) {
      case INET_DIAG_SK_BPF_STORAGES:
        listed.ours |= has_storage(attribute);
        break;
      case INET_DIAG_INFO: {
        tcp_info info{};
        std::memcpy(&info, RTA_DATA(&attribute), std::min<size_t>(sizeof info, RTA_PAYLOAD(&attribute)));
        listed.flow.bytes_sent = info.tcpi_bytes_sent - info.tcpi_bytes_retrans;  // bytes_acked has SYN and FIN too
        listed.flow.bytes_received = info.tcpi_bytes_received;
        break;
      }
      default:
        break;
    }
  });
  listed.ours |= is_inside_the_pod(listed.flow.remote.ip);
  return listed;
}

}  // namespace

Result<std::vector<UntouchedFlow>> list_untouched(int marks_fd, int flows_fd) {
  std::vector<UntouchedFlow> flows;
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
      } else if (const Listed listed = read_socket(reply, *message); !listed.ours) {
        flows.push_back(listed.flow);
      }
    }));
  }
  for (UntouchedFlow& flow : flows) flow.inbound = listening.contains(flow.local.port);
  return flows;
}

}  // namespace leat::capture
