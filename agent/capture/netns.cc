#include "agent/capture/netns.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "agent/capture/netlink.h"
#include "bpf/alias.h"
#include "common/check.h"

namespace leat::capture {

Result<NetnsScope> NetnsScope::enter(const std::string& path) {
  UniqueFd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return fail_errno(errno, "opening the agent's own network namespace");
  UniqueFd there(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!there) return fail_errno(errno, "opening the network namespace {}", path);
  if (setns(there.get(), CLONE_NEWNET) != 0) return fail_errno(errno, "entering the network namespace {}", path);
  return NetnsScope(std::move(home), std::move(there));
}

NetnsScope::~NetnsScope() {
  if (home_)
    LEAT_CHECK(setns(home_.get(), CLONE_NEWNET) == 0, "the agent could not return to its own network namespace");
}

Result<uint64_t> current_netns_cookie() {
  const UniqueFd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (!any || getsockopt(any.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0)
    return fail_errno(errno, "reading the network namespace's cookie (SO_NETNS_COOKIE, kernel 5.14)");
  return cookie;
}

namespace {

constexpr uint8_t kPrefixBits = 48;
constexpr uint32_t kLoopbackIfindex = 1;

// `local fd6c:6561:7400::/48 dev lo table local`, to be added, deleted or looked for.
struct RouteRequest {
  nlmsghdr header{};
  rtmsg route{};
  struct Destination {
    rtattr attribute{.rta_len = sizeof(Destination), .rta_type = RTA_DST};
    std::array<uint32_t, 4> address{htonl(LEAT_ALIAS6_WORD0), htonl(LEAT_ALIAS6_DESTINATION_WORD1 & 0xffff0000u), 0, 0};
  } destination;
  struct Device {
    rtattr attribute{.rta_len = sizeof(Device), .rta_type = RTA_OIF};
    uint32_t ifindex = kLoopbackIfindex;
  } device;
};

Result<void> change_route(uint16_t type, uint16_t flags) {
  RouteRequest request;
  request.header = {.nlmsg_len = sizeof request,
                    .nlmsg_type = type,
                    .nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags)};
  request.route = {.rtm_family = AF_INET6,
                   .rtm_dst_len = kPrefixBits,
                   .rtm_table = RT_TABLE_LOCAL,
                   .rtm_protocol = RTPROT_STATIC,
                   .rtm_scope = RT_SCOPE_HOST,
                   .rtm_type = RTN_LOCAL};
  return netlink_request(NETLINK_ROUTE, &request.header, [](const nlmsghdr&) {});
}

}  // namespace

Result<void> add_alias_route() {
  auto added = change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  if (!added && added.error().errno_value == EEXIST) return {};
  if (!added) added.error().message = "adding the IPv6 alias route: " + added.error().message;
  return added;
}

Result<void> remove_alias_route() {
  auto removed = change_route(RTM_DELROUTE, 0);
  if (!removed && removed.error().errno_value == ESRCH) return {};
  if (!removed) removed.error().message = "removing the IPv6 alias route: " + removed.error().message;
  return removed;
}

Result<bool> has_alias_route() {
  struct {
    nlmsghdr header{.nlmsg_len = sizeof(nlmsghdr) + sizeof(rtmsg),
                    .nlmsg_type = RTM_GETROUTE,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP};
    rtmsg route{.rtm_family = AF_INET6};
  } request;
  const RouteRequest wanted;
  bool found = false;
  LEAT_TRY_VOID(netlink_request(NETLINK_ROUTE, &request.header, [&](const nlmsghdr& reply) {
    if (reply.nlmsg_type != RTM_NEWROUTE) return;
    const auto* route = static_cast<const rtmsg*>(NLMSG_DATA(&reply));
    if (route->rtm_type != RTN_LOCAL || route->rtm_dst_len != kPrefixBits) return;
    for_each_attribute(RTM_RTA(route), RTM_PAYLOAD(&reply), [&](const rtattr& attribute) {
      if (attribute.rta_type == RTA_DST && RTA_PAYLOAD(&attribute) == sizeof wanted.destination.address &&
          std::memcmp(RTA_DATA(&attribute), &wanted.destination.address, sizeof wanted.destination.address) == 0)
        found = true;
    });
  }));
  return found;
}

}  // namespace leat::capture
