// Readiness: every socket is in the epoll set once, edge-triggered, for both directions; operations are tried when the
// last edge says that they may succeed. Sends are tried at once; receives wait for the turn's dispatch, so that one
// busy peer cannot keep the loop to itself.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <vector>

#include "userspace-proxy/ring/backend.h"

namespace leat::ring {

class EpollBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> create(Loop& loop);

  bool start(SendOperation& operation) override;
  bool start(ConnectOperation& operation) override;
  void start(ReceiveOperation& operation) override;
  void start(HangupOperation& operation) override;
  void cancel(Operation& operation) override;
  [[nodiscard]] bool wants_blocking() const override { return false; }
  void start_accepting(Acceptor& acceptor) override;
  void stop_accepting(Acceptor& acceptor) override;
  void wait(Clock::time_point until) override;
  void dispatch() override;

 private:
  EpollBackend(Loop& loop, UniqueFd epoll) : Backend(loop), epoll_(std::move(epoll)) {}

  void forget(SocketState& socket) override;
  void watch(SocketState& socket);
  void socket_event(SocketState& socket, uint32_t events);
  void accept_event(Acceptor& acceptor);
  // Whether the operation has its outcome now; if not, it waits for an edge or (a receive) for a block.
  bool attempt(Operation& operation);
  bool attempt(ReceiveOperation& operation);
  bool attempt(SendOperation& operation);
  bool attempt(ConnectOperation& operation);

  UniqueFd epoll_;
  std::array<epoll_event, 256> events_;
  int event_count_ = 0;
  unsigned sends_at_once_ = 0;  // this turn
  std::vector<Acceptor*> stopping_;
};

}  // namespace leat::ring
