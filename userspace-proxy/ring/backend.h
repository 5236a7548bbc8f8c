// How a loop talks to the kernel. Two implementations with one meaning: UringBackend (completions) and EpollBackend
// (readiness). Here is what both share: the queues of operations that the kernel does not hold, completion, and the end
// of a socket. Internal to ring/.
#pragma once

#include <memory>
#include <vector>

#include "userspace-proxy/ring/acceptor.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/operation.h"
#include "userspace-proxy/ring/socket_state.h"

namespace leat::ring {

// One recv() gives at most this much: enough to make a kernel call cheap a byte, little enough to be fair.
inline constexpr uint32_t kMaxReceiveBytes = 128 * 1024;
inline constexpr uint32_t kMaxReceiveBlocks = kMaxReceiveBytes / BufferPool::kBlockBytes;
inline constexpr size_t kMaxSlices = 16;  // gathered in one send

class Backend {
 public:
  explicit Backend(Loop& loop) : loop_(loop) {}
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  // True: done already, the outcome is in `operation` and nobody need be suspended.
  [[nodiscard]] virtual bool start(SendOperation& operation) = 0;
  [[nodiscard]] virtual bool start(ConnectOperation& operation) = 0;
  virtual void start(ReceiveOperation& operation) = 0;
  virtual void start(HangupOperation& operation) = 0;
  virtual void cancel(Operation& operation) = 0;

  // Whether the kernel may hold the descriptor in blocking mode (io_uring: must, or it fails instead of waiting).
  [[nodiscard]] virtual bool wants_blocking() const = 0;

  virtual void start_accepting(Acceptor& acceptor) = 0;
  virtual void stop_accepting(Acceptor& acceptor) = 0;  // ends with acceptor.ended() in a later turn

  // Hands everything to the kernel and sleeps until something happened or `until`; then, with the loop's clock read
  // again, dispatch() completes what happened.
  virtual void wait(Clock::time_point until) = 0;
  virtual void dispatch() = 0;

  // Closes the descriptor now if nothing is in flight, else with the last completion.
  void close(SocketState& socket);
  void cancel_all(SocketState& socket);

 protected:
  // What one receive may take now: when blocks run short, everybody gets less at a time, so that more are served.
  [[nodiscard]] uint32_t receive_blocks() const {
    return loop_.buffers().free_blocks() * 4 < loop_.buffers().blocks() ? 1 : kMaxReceiveBlocks;
  }
  // Blocks that a receive may use: all, or all but the reserve.
  [[nodiscard]] uint32_t blocks_for(const SocketState& socket) const {
    return blocks_above(socket.uses_reserve ? 0 : reserve());
  }
  [[nodiscard]] uint32_t blocks_above(uint32_t kept) const {
    const uint32_t blocks = loop_.buffers_.free_blocks();
    return blocks > kept ? blocks - kept : 0;
  }
  [[nodiscard]] uint32_t reserve() const { return loop_.options_.reserve_blocks; }
  void starve(ReceiveOperation& operation);
  // Starts as many as there are blocks, in the order in which they starved. Who finds the blocks gone goes to the end
  // of the queue.
  void retry(OperationQueue& starved, uint32_t blocks);
  void complete(Operation& operation, int error);
  // For operations that the kernel does not hold: completed in the next dispatch, so never inside a call of the user's.
  void complete_soon(Operation& operation, int error);
  void bury() { graveyard_.clear(); }

  Loop& loop_;
  OperationQueue due_;              // have their outcome, or (epoll) deserve an attempt
  OperationQueue starved_;          // receives without a block, first come first served;
  OperationQueue starved_reserve_;  // those of sockets that may use the reserve

 private:
  virtual void forget(SocketState& socket) = 0;  // its descriptor is about to be closed
  void retire(SocketState& socket);
  std::vector<std::unique_ptr<SocketState>> graveyard_;  // events of this turn may still name them
};

}  // namespace leat::ring
