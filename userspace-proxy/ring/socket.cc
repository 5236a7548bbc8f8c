#include "userspace-proxy/ring/socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/check.h"
#include "userspace-proxy/ring/backend.h"

namespace leat::ring {

namespace {

template <typename T>
void set_option(int fd, int level, int name, const T& value) {
  // Fails only on what is no TCP socket (a test's socket pair), where there is nothing to set.
  static_cast<void>(::setsockopt(fd, level, name, &value, sizeof(value)));
}

int family_of(int fd) {
  int family = AF_UNSPEC;
  socklen_t bytes = sizeof(family);
  ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes);
  return family;
}

template <typename NameOf>
SocketAddress address_by(NameOf name_of, int fd) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof(storage);
  if (name_of(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return {};
  return SocketAddress::from_sockaddr(storage).value_or(SocketAddress{});
}

IoResult<void> outcome(int error) {
  if (error != 0) return std::unexpected(Errno{error});
  return {};
}

}  // namespace

Socket::Socket(Loop& loop, UniqueFd fd) : state_(new SocketState(loop, std::move(fd))) {
  const int flags = ::fcntl(state_->fd.get(), F_GETFL);
  const int wanted = loop.backend_->wants_blocking() ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
  if (flags != wanted) ::fcntl(state_->fd.get(), F_SETFL, wanted);
}

Socket::Receive Socket::recv() { return Receive(state_); }
IoResult<Chain> Socket::try_recv() {
  if (!state_) return std::unexpected(Errno{ECANCELED});
  LEAT_CHECK(state_->receiving == nullptr, "two receives at one socket");
  Loop& loop = state_->loop;
  if (loop.buffers().free_blocks() <= loop.options_.reserve_blocks) return Chain();
  Buffer block = loop.buffers().allocate();
  const ssize_t got = ::recv(state_->fd.get(), block.data(), block.tail_room(), MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return Chain();
    return std::unexpected(Errno{errno});
  }
  state_->readable = got == 0 || static_cast<uint32_t>(got) == block.tail_room();
  block.grow(static_cast<uint32_t>(got));
  return Chain(std::move(block));
}

void Socket::unread(Chain&& bytes) {
  if (!state_ || bytes.empty()) return;
  LEAT_CHECK(state_->receiving == nullptr, "bytes put back under a receive");
  if (state_->unread) bytes.append(std::move(*state_->unread));
  state_->unread = std::make_unique<Chain>(std::move(bytes));
}

Socket::Send Socket::send(Chain&& bytes) { return Send(state_, std::move(bytes)); }
Socket::Hangup Socket::hangup() { return Hangup(state_); }
Socket::Connect Socket::connect(const SocketAddress& to, Clock::time_point deadline) { return {state_, to, deadline}; }

void Socket::cancel_recv() {
  if (state_ && state_->receiving) state_->loop.backend_->cancel(*state_->receiving);
}

void Socket::cancel_all() {
  if (state_) state_->loop.backend_->cancel_all(*state_);
}

void Socket::shutdown_write() {
  if (state_) ::shutdown(state_->fd.get(), SHUT_WR);
}

void Socket::reset() {
  if (!state_) return;
  set_option(state_->fd.get(), SOL_SOCKET, SO_LINGER, linger{.l_onoff = 1, .l_linger = 0});
  close();
}

void Socket::close() {
  if (SocketState* state = std::exchange(state_, nullptr)) state->loop.backend_->close(*state);
}

void Socket::acknowledge() {
  if (state_) set_option(state_->fd.get(), IPPROTO_TCP, TCP_QUICKACK, 1);
}

void Socket::use_reserve() {
  if (!state_) return;
  LEAT_CHECK(!state_->receiving, "the reserve asked for while a receive is in flight");
  state_->uses_reserve = true;
}

IoResult<void> Socket::bind_source(const IpAddress& address) {
  if (!state_) return std::unexpected(Errno{ECANCELED});
  const int fd = state_->fd.get();
  set_option(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  sockaddr_storage storage{};
  const socklen_t bytes = SocketAddress{address, 0}.to_sockaddr(storage, static_cast<sa_family_t>(family_of(fd)));
  return outcome(::bind(fd, reinterpret_cast<const sockaddr*>(&storage), bytes) == 0 ? 0 : errno);
}

SocketAddress Socket::local_address() const {
  return state_ ? address_by(::getsockname, state_->fd.get()) : SocketAddress{};
}
SocketAddress Socket::peer_address() const {
  return state_ ? address_by(::getpeername, state_->fd.get()) : SocketAddress{};
}
int Socket::fd() const { return state_ ? state_->fd.get() : -1; }

bool Socket::Receive::await_ready() const { return socket == nullptr || socket->unread; }

void Socket::Receive::await_suspend(std::coroutine_handle<> handle) {
  LEAT_CHECK(socket->receiving == nullptr, "two receives at one socket");
  waiter = handle;
  socket->receiving = this;
  socket->loop.backend_->start(*this);
}

IoResult<Chain> Socket::Receive::await_resume() {
  if (socket == nullptr) return std::unexpected(Errno{ECANCELED});
  if (error != 0) return std::unexpected(Errno{error});
  if (const auto unread = std::move(socket->unread)) return std::move(*unread);
  return std::move(received);
}

bool Socket::Send::await_suspend(std::coroutine_handle<> handle) {
  LEAT_CHECK(socket->sending == nullptr, "two sends at one socket");
  waiter = handle;
  if (socket->loop.backend_->start(*this)) return false;
  socket->sending = this;
  return true;
}

IoResult<void> Socket::Send::await_resume() { return outcome(socket == nullptr ? ECANCELED : error); }

Socket::Connect::Connect(SocketState* of, const SocketAddress& to, Clock::time_point deadline)
    : ConnectOperation(of), deadline_(deadline) {
  if (!of) return;
  set_option(of->fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  address_bytes = to.to_sockaddr(address, static_cast<sa_family_t>(family_of(of->fd.get())));
}

bool Socket::Connect::await_suspend(std::coroutine_handle<> handle) {
  LEAT_CHECK(socket->sending == nullptr, "a connect beside a send at one socket");
  waiter = handle;
  if (socket->loop.backend_->start(*this)) return false;
  socket->sending = this;
  timer_.emplace(socket->loop.timers(), [this] { timed_out(); });
  timer_->arm(deadline_);
  return true;
}

void Socket::Connect::timed_out() {
  late_ = true;
  socket->loop.backend_->cancel(*this);
}

IoResult<void> Socket::Connect::await_resume() {
  timer_.reset();
  if (socket == nullptr) return std::unexpected(Errno{ECANCELED});
  return outcome(late_ && error == ECANCELED ? ETIMEDOUT : error);
}

void Socket::Hangup::await_suspend(std::coroutine_handle<> handle) {
  LEAT_CHECK(socket->hanging == nullptr, "two waits for one socket's hang-up");
  waiter = handle;
  socket->hanging = this;
  socket->loop.backend_->start(*this);
}

IoResult<void> Socket::Hangup::await_resume() { return outcome(socket == nullptr ? ECANCELED : error); }

}  // namespace leat::ring
