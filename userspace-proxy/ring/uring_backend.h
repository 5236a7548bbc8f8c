// Completions: one io_uring a loop, one kernel entry a turn. Receives are one-shot and pick their blocks from a ring of
// provided buffers only when bytes are there (poll first, unless the socket is known to hold more), so an idle
// connection holds none; where the kernel can, one completion fills several blocks (bundle). The ring is restricted to
// the operations used here before it is enabled.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <memory>
#include <optional>

#include "userspace-proxy/ring/backend.h"
#include "userspace-proxy/ring/provided_blocks.h"
#include "userspace-proxy/ring/uring_abi.h"

namespace leat::ring {

class UringBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> create(Loop& loop, const LoopOptions& options);
  ~UringBackend() override;

  bool start(SendOperation& operation) override;
  bool start(ConnectOperation& operation) override;
  void start(ReceiveOperation& operation) override;
  void start(HangupOperation& operation) override;
  void cancel(Operation& operation) override;
  [[nodiscard]] bool wants_blocking() const override { return true; }
  void start_accepting(Acceptor& acceptor) override;
  void stop_accepting(Acceptor& acceptor) override;
  void wait(Clock::time_point until) override;
  void dispatch() override;

 private:
  // A gathered send's arguments, which the kernel copies when it takes the submission.
  struct Message {
    msghdr header;
    std::array<iovec, kMaxSlices> slices;
  };

  UringBackend(Loop& loop, const LoopOptions& options);
  Result<void> set_up(const LoopOptions& options);
  Result<void> restrict();
  void forget(SocketState&) override {}

  io_uring_sqe& next_submission();
  void submit(SendOperation& operation);
  void watch_mailbox();
  [[nodiscard]] ProvidedBlocks& blocks_of(const SocketState& socket);

  void completed(const io_uring_cqe& completion);
  void received(ReceiveOperation& operation, const io_uring_cqe& completion);
  void sent(SendOperation& operation, int result);
  void polled(HangupOperation& operation, const io_uring_cqe& completion);

  io_uring ring_{};
  bool ready_ = false;
  bool bundles_ = false;
  std::unique_ptr<Message[]>
      messages_;  // of submissions that the kernel has not taken yet; untouched memory until used
  size_t messages_used_ = 0;

  ProvidedBlocks blocks_;
  std::optional<ProvidedBlocks> reserve_;
};

}  // namespace leat::ring
