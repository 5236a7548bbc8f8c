#include "agent/cni/server.h"

#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>

#include "agent/cni/limits.h"
#include "common/log.h"
#include "common/message_socket.h"

namespace leat::agent {
namespace {

bool is_root(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

struct Packet {
  ssize_t size = -1;
  bool whole = false;
  UniqueFd descriptor;
};

// All descriptors are taken, so that none stays open here; one is kept.
Packet receive(int socket, std::string& buffer) {
  iovec part{.iov_base = buffer.data(), .iov_len = buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 4)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  Packet packet{.size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)};
  if (packet.size < 0) return packet;
  packet.whole = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  for (cmsghdr* at = CMSG_FIRSTHDR(&message); at != nullptr; at = CMSG_NXTHDR(&message, at)) {
    if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
      packet.whole &= !packet.descriptor.valid();
      packet.descriptor.reset(fd);
    }
  }
  return packet;
}

}  // namespace

std::optional<CniQuestion> read_cni_question(std::string_view packet, UniqueFd descriptor) {
  auto request = cni::decode_request(packet);
  if (!request) return std::nullopt;
  return CniQuestion{.request = std::move(*request), .netns = std::move(descriptor)};
}

Result<std::unique_ptr<CniServer>> CniServer::open(EventLoop& loop, const std::string& path, Handler handler) {
  LEAT_TRY(UniqueFd listener, MessageSocket::listen_at(path, 0600));
  return std::unique_ptr<CniServer>(new CniServer(loop, std::move(listener), std::move(handler)));
}

CniServer::CniServer(EventLoop& loop, UniqueFd listener, Handler handler)
    : loop_(loop), listener_(std::move(listener)), handler_(std::move(handler)) {
  loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
}

CniServer::~CniServer() {
  loop_.forget(listener_.get());
  while (!clients_.empty()) drop(clients_.begin()->first);
}

void CniServer::accept_all() {
  for (;;) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) return;
    if (!is_root(socket.get())) {
      ++refused_;
      log::warn("cni.sock: somebody who is not root asked; turned away");
      continue;
    }
    if (clients_.size() >= limits::kMaxCniQuestions) continue;  // closed: the plugin asks again
    const uint64_t id = next_id_++;
    Client& client = clients_[id];
    client.socket = std::move(socket);
    client.timer = loop_.after(limits::kCniQuestionDeadline, [this, id] { drop(id); });
    loop_.watch(client.socket.get(), EPOLLIN, [this, id](uint32_t) { on_readable(id); });
  }
}

void CniServer::on_readable(uint64_t id) {
  Client& client = clients_.at(id);
  std::string buffer(cni::kMaxMessageBytes, '\0');
  Packet packet = receive(client.socket.get(), buffer);
  if (packet.size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (packet.size <= 0) return drop(id);  // left, with or without its answer
  auto question = packet.whole && !client.asked
                      ? read_cni_question(std::string_view(buffer).substr(0, static_cast<size_t>(packet.size)),
                                          std::move(packet.descriptor))
                      : std::nullopt;
  if (!question) {
    ++refused_;
    log::warn("cni.sock: a question that can't be read; are leat-cni and leat-agent of one version?");
    return drop(id);
  }
  client.asked = true;
  loop_.cancel(std::exchange(client.timer, 0));
  handler_(std::move(*question), [this, id](const cni::Reply& reply) { answer(id, reply); });
}

void CniServer::answer(uint64_t id, const cni::Reply& reply) {
  const auto client = clients_.find(id);
  if (client == clients_.end()) return;
  const std::string packet = cni::encode(reply);
  // A plugin that has left, or died, does not matter.
  if (send(client->second.socket.get(), packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    log::debug("cni.sock: a plugin did not wait for its answer");
  drop(id);
}

void CniServer::drop(uint64_t id) {
  const auto client = clients_.find(id);
  if (client == clients_.end()) return;
  loop_.cancel(client->second.timer);
  loop_.forget(client->second.socket.get());
  clients_.erase(client);
}

}  // namespace leat::agent
