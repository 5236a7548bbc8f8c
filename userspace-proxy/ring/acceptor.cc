#include "userspace-proxy/ring/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/check.h"
#include "userspace-proxy/ring/backend.h"

namespace leat::ring {

namespace {

constexpr auto kBackoff = std::chrono::milliseconds(50);  // flows end at such a rate that descriptors may be free again

// Whether accept() will fail so for ever.
bool means_dead(int error) { return error == EINVAL || error == EBADF || error == ENOTSOCK || error == EOPNOTSUPP; }

// Whether it concerned one connection only (accept(2) passes on the new socket's pending network errors).
bool means_next(int error) {
  return error == 0 || error == ECANCELED || error == EAGAIN || error == EINTR || error == ECONNABORTED ||
         error == EPROTO;
}

}  // namespace

Acceptor::Acceptor(Loop& loop, UniqueFd listener, OnAccept on_accept, OnDead on_dead)
    : loop_(loop),
      listener_(std::move(listener)),
      on_accept_(std::move(on_accept)),
      on_dead_(std::move(on_dead)),
      backoff_(loop.timers(), [this] { start(); }) {}

Acceptor::~Acceptor() { LEAT_CHECK(!in_flight_, "an acceptor destroyed while armed"); }

void Acceptor::arm() {
  if (armed_) return;
  LEAT_CHECK(!in_flight_, "armed while a disarm waits");
  armed_ = true;
  start();
}

void Acceptor::start() {
  // The mode belongs to the open file, which the agent and the last proxy share: set each time.
  const int flags = ::fcntl(listener_.get(), F_GETFL);
  ::fcntl(listener_.get(), F_SETFL, loop_.backend_->wants_blocking() ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
  in_flight_ = true;
  loop_.backend_->start_accepting(*this);
}

Task<void> Acceptor::disarm() {
  armed_ = false;
  backoff_.cancel();
  if (!in_flight_) co_return;
  loop_.backend_->stop_accepting(*this);
  co_await disarmed_.wait();
}

void Acceptor::ended(int error) {
  in_flight_ = false;
  if (!armed_) {
    disarmed_.set();
  } else if (means_dead(error)) {
    armed_ = false;
    on_dead_(error);
  } else if (means_next(error)) {
    start();
  } else {
    ++loop_.counters_.accept_backoffs;
    backoff_.arm(loop_.now() + kBackoff);
  }
}

}  // namespace leat::ring
