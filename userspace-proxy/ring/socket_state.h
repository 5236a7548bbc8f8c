// What a loop keeps of a socket: its descriptor, what is in flight, and what is known of the kernel's queues. Outlives
// the Socket that owns it until nothing is in flight. Internal to ring/.
#pragma once

#include "common/unique_fd.h"
#include "userspace-proxy/ring/operation.h"

namespace leat::ring {

class SocketState {
 public:
  SocketState(Loop& of, UniqueFd descriptor) : loop(of), fd(std::move(descriptor)) {}

  Loop& loop;
  UniqueFd fd;
  bool uses_reserve = false;
  bool closing = false;   // the Socket is gone: nothing new starts, and the last completion closes
  bool watched = false;   // in the epoll set
  bool readable = false;  // a read may find something: worth trying before waiting
  bool writable = true;   // epoll: a write may succeed
  bool ended = false;     // epoll: the peer's end, an error or both were announced, so `readable` never goes back
  bool dead = false;      // epoll: hung up both ways
  uint8_t burst = 1;      // epoll: blocks offered to the next read
  std::unique_ptr<Chain> unread;  // for the next receive
  Operation* receiving = nullptr;
  Operation* sending = nullptr;  // or connecting
  Operation* hanging = nullptr;

  Operation*& slot(Operation::Kind kind) {
    switch (kind) {
      case Operation::Kind::kReceive:
        return receiving;
      case Operation::Kind::kHangup:
        return hanging;
      default:
        return sending;
    }
  }
  [[nodiscard]] bool idle() const { return !receiving && !sending && !hanging; }
};

}  // namespace leat::ring
