#include "common/message_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include <google/protobuf/message_lite.h>

#include "common/check.h"

namespace leat {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::kInvalid, "unix socket path {} is longer than {} bytes; choose a shorter state folder", path,
                sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

MessageSocket::MessageSocket(UniqueFd fd, size_t max_message_bytes, size_t max_queue_bytes)
    : fd_(std::move(fd)), max_message_bytes_(max_message_bytes), max_queue_bytes_(max_queue_bytes) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK);
  // Frames need send buffer of their own size; the default holds a few.
  const int buffer_bytes = 1 << 20;
  setsockopt(fd_.get(), SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
}

Result<void> MessageSocket::send(const google::protobuf::MessageLite& message, std::vector<UniqueFd> owned) {
  LEAT_CHECK(owned.size() <= kMaxFds, "too many descriptors for one message");
  std::string bytes;
  if (!message.SerializeToString(&bytes))
    return fail(ErrorCode::kInvalid, "message {} can't be serialised", message.GetTypeName());
  if (queued_bytes_ + bytes.size() > max_queue_bytes_) {
    return fail(ErrorCode::kExhausted, "peer does not read: {} bytes are queued for it", queued_bytes_);
  }
  size_t offset = 0;
  do {
    const size_t part = std::min(bytes.size() - offset, kMaxFrameBytes - 1);
    Frame frame;
    frame.bytes.reserve(part + 1);
    frame.bytes.push_back(offset + part < bytes.size() ? 1 : 0);
    frame.bytes.append(bytes, offset, part);
    if (offset == 0) frame.fds = std::move(owned);
    queued_bytes_ += frame.bytes.size();
    queue_.push_back(std::move(frame));
    offset += part;
  } while (offset < bytes.size());
  return flush();
}

Result<void> MessageSocket::send_borrowed(const google::protobuf::MessageLite& message, const std::vector<int>& fds) {
  std::vector<UniqueFd> owned;
  owned.reserve(fds.size());
  for (const int fd : fds) {
    owned.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!owned.back()) return fail_errno(errno, "duplicating descriptor {} for a message", fd);
  }
  return send(message, std::move(owned));
}

Result<void> MessageSocket::flush() {
  while (!queue_.empty()) {
    Frame& frame = queue_.front();
    iovec part{frame.bytes.data(), frame.bytes.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
    if (!frame.fds.empty()) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(sizeof(int) * frame.fds.size());
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int) * frame.fds.size());
      for (size_t i = 0; i < frame.fds.size(); ++i) {
        const int fd = frame.fds[i].get();
        std::memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof fd);
      }
    }
    if (sendmsg(fd_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
      if (errno == EAGAIN) return {};
      if (errno == EINTR) continue;
      return fail_errno(errno, "sending on a unix socket");
    }
    queued_bytes_ -= frame.bytes.size();
    queue_.pop_front();
  }
  return {};
}

Result<std::optional<ReceivedMessage>> MessageSocket::receive() {
  for (;;) {
    std::string frame(kMaxFrameBytes, '\0');
    iovec part{frame.data(), frame.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t size = recvmsg(fd_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) {
      if (errno == EAGAIN) return std::nullopt;
      if (errno == EINTR) continue;
      return fail_errno(errno, "receiving from a unix socket");
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
        partial_.fds.emplace_back(fd);
      }
    }
    if (size == 0) return fail(ErrorCode::kClosed, "the peer closed the unix socket");
    if (header.msg_flags & MSG_CTRUNC)
      return fail(ErrorCode::kExhausted, "descriptors were lost: this process has no free descriptor");
    if (header.msg_flags & MSG_TRUNC)
      return fail(ErrorCode::kProtocol, "a frame is longer than {} bytes", kMaxFrameBytes);
    if (partial_.fds.size() > kMaxFds)
      return fail(ErrorCode::kProtocol, "a message has more than {} descriptors", kMaxFds);
    if (partial_.bytes.size() + static_cast<size_t>(size) > max_message_bytes_) {
      return fail(ErrorCode::kProtocol, "a message is longer than {} bytes", max_message_bytes_);
    }
    partial_.bytes.append(frame, 1, static_cast<size_t>(size) - 1);
    if (frame[0] == 0) return std::exchange(partial_, {});
    if (frame[0] != 1)
      return fail(ErrorCode::kProtocol, "a frame starts with byte {}, not 0 or 1",
                  static_cast<unsigned>(static_cast<uint8_t>(frame[0])));
  }
}

Result<UniqueFd> MessageSocket::listen_at(const std::string& path, unsigned mode) {
  LEAT_TRY(const sockaddr_un address, address_of(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "making a unix socket");
  unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
    return fail_errno(errno, "binding {}", path);
  if (chmod(path.c_str(), mode) < 0) return fail_errno(errno, "chmod of {}", path);
  if (listen(fd.get(), 16) < 0) return fail_errno(errno, "listening at {}", path);
  return fd;
}

Result<UniqueFd> MessageSocket::connect_to(const std::string& path) {
  LEAT_TRY(const sockaddr_un address, address_of(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "making a unix socket");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
    return fail_errno(errno, "connecting to {}", path);
  }
  return fd;
}

}  // namespace leat
