#include "userspace-proxy/ring/epoll_backend.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"

namespace leat::ring {

namespace {

constexpr unsigned kMaxSendsAtOnce = 256;  // a turn: a coroutine that only sends must let others run
constexpr int kMaxAcceptsAtOnce = 64;

// What an event's data says: nothing for the mailbox, else a socket, or an acceptor with the low bit set.
constexpr uintptr_t kAcceptorTag = 1;

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

Result<std::unique_ptr<Backend>> EpollBackend::create(Loop& loop) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "epoll_create1");
  epoll_event wake{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, loop.mailbox_.wake_fd(), &wake) != 0)
    return fail_errno(errno, "epoll_ctl: mailbox");
  return std::unique_ptr<Backend>(new EpollBackend(loop, std::move(epoll)));
}

void EpollBackend::watch(SocketState& socket) {
  if (std::exchange(socket.watched, true)) return;
  epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = &socket}};
  LEAT_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket.fd.get(), &event) == 0,
             "a socket that epoll does not take");
}

// Explicit, since close() alone does not take out a file that somebody else holds too (whoever made the socket for us).
void EpollBackend::forget(SocketState& socket) {
  if (socket.watched) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, socket.fd.get(), nullptr);
}

void EpollBackend::start(ReceiveOperation& operation) {
  watch(*operation.socket);
  if (operation.socket->readable) due_.push(operation);
}

bool EpollBackend::start(SendOperation& operation) {
  watch(*operation.socket);
  if (!operation.socket->writable) return false;
  if (sends_at_once_ < kMaxSendsAtOnce) {
    ++sends_at_once_;
    return attempt(operation);
  }
  due_.push(operation);
  return false;
}

bool EpollBackend::start(ConnectOperation& operation) {
  const int fd = operation.socket->fd.get();
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&operation.address), operation.address_bytes) != 0) {
    operation.error = errno;
    if (errno != EINPROGRESS) return true;
  }
  operation.error = 0;
  operation.socket->writable = false;
  watch(*operation.socket);  // only now: before connect(), epoll would report a hung-up socket
  return false;
}

void EpollBackend::start(HangupOperation& operation) {
  watch(*operation.socket);
  if (operation.socket->dead) complete_soon(operation, 0);
}

void EpollBackend::cancel(Operation& operation) { complete_soon(operation, ECANCELED); }

void EpollBackend::start_accepting(Acceptor& acceptor) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = reinterpret_cast<uintptr_t>(&acceptor) | kAcceptorTag}};
  LEAT_CHECK(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, acceptor.fd(), &event) == 0,
             "a listener that epoll does not take");
}

void EpollBackend::stop_accepting(Acceptor& acceptor) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, acceptor.fd(), nullptr);
  stopping_.push_back(&acceptor);
}

void EpollBackend::wait(Clock::time_point until) {
  sends_at_once_ = 0;
  const bool blocks =
      (!starved_.empty() && blocks_above(reserve()) > 0) || (!starved_reserve_.empty() && blocks_above(0) > 0);
  int timeout_ms = -1;
  if (!due_.empty() || blocks || !stopping_.empty()) {
    timeout_ms = 0;
  } else if (until != Clock::time_point::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    timeout_ms = static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
  }
  event_count_ = ::epoll_wait(epoll_.get(), events_.data(), events_.size(), timeout_ms);
  LEAT_CHECK(event_count_ >= 0 || errno == EINTR, "epoll_wait failed");
}

void EpollBackend::dispatch() {
  for (int i = 0; i < event_count_; ++i) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    if (event.data.u64 & kAcceptorTag) {
      accept_event(*reinterpret_cast<Acceptor*>(event.data.u64 & ~kAcceptorTag));
    } else if (event.data.ptr) {
      socket_event(*static_cast<SocketState*>(event.data.ptr), event.events);
    }
  }
  for (Acceptor* acceptor : std::exchange(stopping_, {})) acceptor->ended(ECANCELED);

  retry(starved_reserve_, blocks_above(0));
  retry(starved_, blocks_above(reserve()));
  // What is due now, not what becomes due meanwhile: that is the next turn's.
  for (Operation* last = due_.last(); last && !due_.empty();) {
    Operation& operation = *due_.first();
    if (&operation == last) last = nullptr;
    due_.remove(operation);
    if (operation.error != 0 || operation.kind == Operation::Kind::kHangup || attempt(operation))
      complete(operation, operation.error);
  }
  bury();
}

void EpollBackend::socket_event(SocketState& socket, uint32_t events) {
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  socket.readable |= (events & EPOLLIN) != 0 || broken;
  socket.writable |= (events & EPOLLOUT) != 0 || broken;
  socket.ended |= (events & EPOLLRDHUP) != 0 || broken;
  socket.dead |= broken;
  for (Operation* operation : {socket.receiving, socket.sending, socket.hanging}) {
    if (!operation || operation->in) continue;
    const bool may_succeed = operation->kind == Operation::Kind::kReceive  ? socket.readable
                             : operation->kind == Operation::Kind::kHangup ? socket.dead
                                                                           : socket.writable;
    if (may_succeed) due_.push(*operation);
  }
}

bool EpollBackend::attempt(Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::kReceive:
      return attempt(static_cast<ReceiveOperation&>(operation));
    case Operation::Kind::kSend:
      return attempt(static_cast<SendOperation&>(operation));
    default:
      return attempt(static_cast<ConnectOperation&>(operation));
  }
}

bool EpollBackend::attempt(ReceiveOperation& operation) {
  SocketState& socket = *operation.socket;
  std::array<Buffer, kMaxReceiveBlocks> blocks;
  std::array<iovec, kMaxReceiveBlocks> room;
  const size_t count = std::min<size_t>(socket.burst, blocks_for(socket));
  if (count == 0) {
    starve(operation);
    return false;
  }
  for (size_t i = 0; i < count; ++i) {
    blocks[i] = loop_.buffers_.allocate();
    room[i] = {blocks[i].data(), BufferPool::kBlockBytes};
  }
  const ssize_t got = ::readv(socket.fd.get(), room.data(), static_cast<int>(count));
  if (got < 0) {
    if (would_block(errno)) {
      socket.readable = false;
      return false;
    }
    operation.error = errno;
    return true;
  }
  // A read that came back short has emptied the queue: the next bytes make an edge of their own, and so would the
  // peer's end, unless its edge came already.
  const bool filled = static_cast<size_t>(got) == count * BufferPool::kBlockBytes;
  socket.readable = filled || socket.ended;
  socket.burst = filled ? static_cast<uint8_t>(std::min(socket.burst * 2u, receive_blocks())) : 1;
  auto left = static_cast<uint32_t>(got);
  for (size_t i = 0; left > 0; ++i) {
    const uint32_t part = std::min(left, BufferPool::kBlockBytes);
    blocks[i].grow(part);
    operation.received.append(std::move(blocks[i]));
    left -= part;
  }
  return true;
}

bool EpollBackend::attempt(SendOperation& operation) {
  SocketState& socket = *operation.socket;
  std::array<iovec, kMaxSlices> slices;
  while (!operation.left.empty()) {
    msghdr message{};
    message.msg_iov = slices.data();
    message.msg_iovlen = operation.left.gather(slices.data(), slices.size());
    const ssize_t sent = ::sendmsg(socket.fd.get(), &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (would_block(errno)) {
        socket.writable = false;
        return false;
      }
      operation.error = errno;
      return true;
    }
    operation.left.consume(static_cast<size_t>(sent));
  }
  return true;
}

bool EpollBackend::attempt(ConnectOperation& operation) {
  socklen_t bytes = sizeof(operation.error);
  ::getsockopt(operation.socket->fd.get(), SOL_SOCKET, SO_ERROR, &operation.error, &bytes);
  return true;
}

void EpollBackend::accept_event(Acceptor& acceptor) {
  for (int i = 0; i < kMaxAcceptsAtOnce && acceptor.armed(); ++i) {
    UniqueFd connection(::accept4(acceptor.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (connection) {
      acceptor.accepted(std::move(connection));
    } else if (would_block(errno)) {
      return;
    } else {
      const int error = errno;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, acceptor.fd(), nullptr);
      acceptor.ended(error);
      return;
    }
  }
}

}  // namespace leat::ring
