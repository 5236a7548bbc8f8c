#include "cni/agent_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/unique_fd.h"

namespace leat::cni {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPause{100};  // between two tries to reach an agent that is away

std::string said(const std::string& what) { return what + ": " + std::strerror(errno); }

int left_ms(Clock::time_point deadline) {
  return static_cast<int>(std::max<int64_t>(0, std::chrono::ceil<milliseconds>(deadline - Clock::now()).count()));
}

UniqueFd connect_to(const std::string& path, std::string& failure) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) {
    failure = path + " is too long for a unix socket";
    return {};
  }
  path.copy(address.sun_path, path.size());
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Non-blocking: an agent that does not accept must not hold us longer than we said.
  if (!socket || connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    failure = said("connecting to " + path);
    return {};
  }
  return socket;
}

bool send_packet(int socket, const std::string& packet, int netns, std::string& failure) {
  iovec part{.iov_base = const_cast<char*>(packet.data()), .iov_len = packet.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (netns >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &netns, sizeof netns);
  }
  if (sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size())) return true;
  failure = said("asking leat-agent");
  return false;
}

std::optional<Reply> receive_reply(int socket, Clock::time_point deadline, std::string& failure) {
  pollfd readable{.fd = socket, .events = POLLIN, .revents = 0};
  if (poll(&readable, 1, left_ms(deadline)) <= 0) {
    failure = "leat-agent took the question and does not answer";
    return std::nullopt;
  }
  std::string packet(kMaxMessageBytes, '\0');
  const ssize_t size = recv(socket, packet.data(), packet.size(), 0);
  if (size <= 0) {
    failure = size == 0 ? "leat-agent closed the connection without an answer" : said("hearing leat-agent");
    return std::nullopt;
  }
  const auto reply = decode_reply(std::string_view(packet).substr(0, static_cast<size_t>(size)));
  if (!reply) failure = "leat-agent's answer can't be read; are leat-cni and leat-agent of one version?";
  return reply;
}

}  // namespace

Answer ask_agent(const std::string& socket_path, Request request, int netns, milliseconds wait) {
  const auto deadline = Clock::now() + wait;
  Answer answer;
  for (;;) {
    request.wait_ms = static_cast<uint32_t>(left_ms(deadline));
    if (const UniqueFd socket = connect_to(socket_path, answer.failure)) {
      if (send_packet(socket.get(), encode(request), netns, answer.failure))
        answer.reply = receive_reply(socket.get(), deadline, answer.failure);
    }
    const int left = left_ms(deadline);
    if (answer.reply || left == 0) return answer;
    poll(nullptr, 0, std::min(left, static_cast<int>(kPause.count())));
  }
}

bool tell_agent(const std::string& socket_path, const Request& request) {
  std::string failure;
  const UniqueFd socket = connect_to(socket_path, failure);
  return socket && send_packet(socket.get(), encode(request), -1, failure);
}

}  // namespace leat::cni
