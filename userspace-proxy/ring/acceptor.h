// Takes connections from a listening socket that somebody else made. At most one armed acceptor a listener on the whole
// node: two would lose wake-ups (the agent's lease sees to that).
#pragma once

#include <functional>

#include "common/unique_fd.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/task.h"

namespace leat::ring {

class Acceptor {
 public:
  using OnAccept = std::function<void(UniqueFd)>;  // a connection, close-on-exec; make a Socket of it
  using OnDead = std::function<void(int error)>;   // the listener will never accept again (-EINVAL: it was killed); not
                                                   // armed any more

  // Not armed. Both callbacks run on the loop's thread and may destroy flows, but not this acceptor.
  Acceptor(Loop& loop, UniqueFd listener, OnAccept on_accept, OnDead on_dead);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();  // disarmed by then

  void arm();  // not while disarm() waits
  // Ends when this acceptor takes no connection any more; all that it had taken were delivered. What waits in the
  // backlog stays there for the next one. One disarm() at a time.
  [[nodiscard]] Task<void> disarm();
  [[nodiscard]] bool armed() const { return armed_; }
  [[nodiscard]] int fd() const { return listener_.get(); }

 private:
  friend class EpollBackend;
  friend class UringBackend;
  void start();
  void accepted(UniqueFd connection) { on_accept_(std::move(connection)); }
  void ended(int error);  // the back end takes no more: goes on, backs off or gives up

  Loop& loop_;
  UniqueFd listener_;
  OnAccept on_accept_;
  OnDead on_dead_;
  Timer backoff_;
  Signal disarmed_;
  bool armed_ = false;      // the owner wants connections
  bool in_flight_ = false;  // the back end is accepting
};

}  // namespace leat::ring
