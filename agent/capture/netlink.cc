#include "agent/capture/netlink.h"

#include <sys/socket.h>

#include <vector>

#include "common/unique_fd.h"

namespace leat::capture {

namespace {

constexpr size_t kReplyBytesMax = 64 * 1024;  // the kernel fills at most 32 KiB a read

}  // namespace

Result<void> netlink_request(int protocol, const nlmsghdr* request, const std::function<void(const nlmsghdr&)>& each) {
  const UniqueFd socket_fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket_fd) return fail_errno(errno, "opening a netlink socket of protocol {}", protocol);
  if (send(socket_fd.get(), request, request->nlmsg_len, 0) < 0) return fail_errno(errno, "sending a netlink request");

  std::vector<char> buffer(kReplyBytesMax);
  for (;;) {
    const ssize_t received = recv(socket_fd.get(), buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return fail_errno(errno, "reading a netlink reply");
    auto left = static_cast<unsigned>(received);
    for (auto* reply = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(reply, left);
         reply = NLMSG_NEXT(reply, left)) {
      if (reply->nlmsg_type == NLMSG_DONE) return {};
      if (reply->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(reply))->error;
        if (error == 0) return {};
        return fail_errno(error, "netlink request of type {}", request->nlmsg_type);
      }
      each(*reply);
    }
  }
}

}  // namespace leat::capture
