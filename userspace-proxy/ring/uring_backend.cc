#include "userspace-proxy/ring/uring_backend.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/check.h"

namespace leat::ring {

namespace {

constexpr uint16_t kGroup = 0;
constexpr uint16_t kReserveGroup = 1;
constexpr uint32_t kReserveStanding = 8;  // few connections use the reserve, and need little of it at a time

// A completion's user data: an operation's address, an acceptor's with its low bit set, or one of these two.
constexpr uint64_t kAcceptorTag = 1;
constexpr uint64_t kNobody = 0;
constexpr uint64_t kMailbox = 2;

uint64_t name_of(const Operation& operation) { return reinterpret_cast<uintptr_t>(&operation); }
uint64_t name_of(const Acceptor& acceptor) { return reinterpret_cast<uintptr_t>(&acceptor) | kAcceptorTag; }

std::unexpected<Error> refused(int error) {
  switch (error) {
    case EPERM:
    case EACCES:
      return fail_errno(error,
                        "io_uring_setup refused: the container's seccomp profile or the sysctl "
                        "kernel.io_uring_disabled forbids io_uring; allow "
                        "io_uring_setup, io_uring_enter and io_uring_register in the profile, set the sysctl to 0, or "
                        "use the epoll back end");
    case ENOSYS:
      return fail(ErrorCode::kUnsupported,
                  "io_uring_setup: not in this kernel, or hidden by a seccomp profile; allow io_uring_setup, "
                  "io_uring_enter and "
                  "io_uring_register in the profile, or use the epoll back end");
    case ENOMEM:
      return fail_errno(
          error,
          "io_uring_setup: the ring exceeds this user's RLIMIT_MEMLOCK; raise it to 8 MiB or use the epoll back end");
    default:
      return fail_errno(error, "io_uring_setup");
  }
}

}  // namespace

Result<std::unique_ptr<Backend>> UringBackend::create(Loop& loop, const LoopOptions& options) {
  std::unique_ptr<UringBackend> backend(new UringBackend(loop, options));
  LEAT_TRY_VOID(backend->set_up(options));
  return backend;
}

UringBackend::UringBackend(Loop& loop, const LoopOptions& options)
    : Backend(loop),
      messages_(std::make_unique_for_overwrite<Message[]>(options.submissions)),
      blocks_(loop.buffers(), kGroup, options.standing_blocks, options.reserve_blocks) {
  if (options.reserve_blocks > 0)
    reserve_.emplace(loop.buffers(), kReserveGroup, std::min(kReserveStanding, options.reserve_blocks), 0);
}

UringBackend::~UringBackend() {
  if (ready_) io_uring_queue_exit(&ring_);
}

Result<void> UringBackend::set_up(const LoopOptions& options) {
  constexpr uint32_t kAlways =
      IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | IORING_SETUP_CLAMP;
  // Best first. Without deferred task work the kernel interrupts the thread for each completion.
  constexpr std::array kModes = {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN,
                                 0u};
  int error = EINVAL;
  for (size_t i = 0; i < kModes.size() && error == EINVAL; ++i) {
    io_uring_params params{};
    params.flags = kAlways | kModes[i];
    params.cq_entries = options.completions;
    error = -io_uring_queue_init_params(options.submissions, &ring_, &params);
  }
  if (error != 0) return refused(error);
  ready_ = true;
  bundles_ = (ring_.features & abi::kFeatureBundle) != 0;

  LEAT_TRY_VOID(blocks_.enlist(ring_));
  if (reserve_) LEAT_TRY_VOID(reserve_->enlist(ring_));
  LEAT_TRY_VOID(restrict());
  if (const int count = io_uring_register_ring_fd(&ring_); count < 0)
    return fail_errno(-count, "io_uring: registering the ring");
  if (const int result = abi::enable_rings(ring_); result < 0)
    return fail_errno(-result, "io_uring: enabling the ring");
  watch_mailbox();
  return {};
}

// From here on this ring can do what a relay does, and nothing else, whoever gets hold of it: no file is opened, no
// program run.
Result<void> UringBackend::restrict() {
  constexpr std::array kOperations = {IORING_OP_RECV,   IORING_OP_SEND,         IORING_OP_SENDMSG, IORING_OP_CONNECT,
                                      IORING_OP_ACCEPT, IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD};
  std::array<io_uring_restriction, kOperations.size() + 3> rules{};
  size_t count = 0;
  for (const auto operation : kOperations) {
    rules[count].opcode = IORING_RESTRICTION_SQE_OP;
    rules[count++].sqe_op = static_cast<uint8_t>(operation);
  }
  rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
  rules[count++].sqe_flags = IOSQE_BUFFER_SELECT;
  for (const auto registration : {IORING_REGISTER_ENABLE_RINGS, IORING_UNREGISTER_RING_FDS}) {
    rules[count].opcode = IORING_RESTRICTION_REGISTER_OP;
    rules[count++].register_op = static_cast<uint8_t>(registration);
  }
  if (const int result = abi::register_restrictions(ring_, std::span(rules).first(count)); result < 0) {
    return fail_errno(-result, "io_uring: restricting the ring");
  }
  return {};
}

io_uring_sqe& UringBackend::next_submission() {
  io_uring_sqe* submission = io_uring_get_sqe(&ring_);
  if (!submission) {
    io_uring_submit(&ring_);
    messages_used_ = 0;
    submission = io_uring_get_sqe(&ring_);
    LEAT_CHECK(submission, "the kernel takes no submissions");
  }
  return *submission;
}

void UringBackend::start(ReceiveOperation& operation) {
  SocketState& socket = *operation.socket;
  io_uring_sqe& submission = next_submission();
  const bool bundle = bundles_ && receive_blocks() > 1;
  io_uring_prep_recv(&submission, socket.fd.get(), nullptr, bundle ? kMaxReceiveBytes : BufferPool::kBlockBytes, 0);
  submission.flags |= IOSQE_BUFFER_SELECT;
  submission.buf_group = blocks_of(socket).group();
  submission.ioprio = (bundle ? abi::kReceiveBundle : 0) | (socket.readable ? 0 : IORING_RECVSEND_POLL_FIRST);
  submission.user_data = name_of(operation);
}

bool UringBackend::start(SendOperation& operation) {
  submit(operation);
  return false;
}

void UringBackend::submit(SendOperation& operation) {
  io_uring_sqe& submission = next_submission();
  const int fd = operation.socket->fd.get();
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;  // the kernel goes on by itself until all is taken
  if (const auto slices = operation.left.slices(); slices.size() == 1) {
    io_uring_prep_send(&submission, fd, slices[0].data(), slices[0].size(), kFlags);
  } else {
    Message& message = messages_[messages_used_++];
    message.header = {};
    message.header.msg_iov = message.slices.data();
    message.header.msg_iovlen = operation.left.gather(message.slices.data(), message.slices.size());
    io_uring_prep_sendmsg(&submission, fd, &message.header, kFlags);
  }
  submission.user_data = name_of(operation);
}

bool UringBackend::start(ConnectOperation& operation) {
  io_uring_sqe& submission = next_submission();
  io_uring_prep_connect(&submission, operation.socket->fd.get(), reinterpret_cast<const sockaddr*>(&operation.address),
                        operation.address_bytes);
  submission.user_data = name_of(operation);
  return false;
}

// Errors and hang-ups are always reported; but so is the peer's end, which had come before anybody asks. Hence every
// edge, not the first.
void UringBackend::start(HangupOperation& operation) {
  io_uring_sqe& submission = next_submission();
  io_uring_prep_poll_multishot(&submission, operation.socket->fd.get(), 0);
  submission.user_data = name_of(operation);
}

// The submission queue is in order: should the operation have ended, a later one at the same address is not yet there
// to be hit.
void UringBackend::cancel(Operation& operation) {
  if (operation.in) return complete_soon(operation, ECANCELED);
  if (std::exchange(operation.cancelled, true)) return;
  io_uring_sqe& submission = next_submission();
  io_uring_prep_cancel64(&submission, name_of(operation), 0);
  submission.user_data = kNobody;
}

void UringBackend::start_accepting(Acceptor& acceptor) {
  io_uring_sqe& submission = next_submission();
  io_uring_prep_multishot_accept(&submission, acceptor.fd(), nullptr, nullptr, SOCK_CLOEXEC);
  submission.user_data = name_of(acceptor);
}

void UringBackend::stop_accepting(Acceptor& acceptor) {
  io_uring_sqe& submission = next_submission();
  io_uring_prep_cancel64(&submission, name_of(acceptor), 0);
  submission.user_data = kNobody;
}

void UringBackend::watch_mailbox() {
  io_uring_sqe& submission = next_submission();
  io_uring_prep_poll_multishot(&submission, loop_.mailbox_.wake_fd(), POLLIN);
  submission.user_data = kMailbox;
}

ProvidedBlocks& UringBackend::blocks_of(const SocketState& socket) {
  return socket.uses_reserve && reserve_ ? *reserve_ : blocks_;
}

void UringBackend::wait(Clock::time_point until) {
  if (reserve_) reserve_->refill();
  blocks_.refill();
  retry(starved_reserve_, (reserve_ ? *reserve_ : blocks_).standing());
  retry(starved_, blocks_.standing());
  __kernel_timespec timeout{};
  __kernel_timespec* limit = nullptr;
  if (!due_.empty()) {
    limit = &timeout;
  } else if (until != Clock::time_point::max()) {
    const auto left = std::max<int64_t>(0, std::chrono::nanoseconds(until - Clock::now()).count());
    timeout = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    limit = &timeout;
  }
  io_uring_cqe* first = nullptr;
  const int result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, limit, nullptr);
  LEAT_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN || result == -EBUSY,
             "io_uring_enter failed");
  messages_used_ = 0;
}

void UringBackend::dispatch() {
  // Those that are there now; what coroutines cause meanwhile is the next turn's.
  for (unsigned left = io_uring_cq_ready(&ring_); left > 0; --left) {
    io_uring_cqe* entry = nullptr;
    if (io_uring_peek_cqe(&ring_, &entry) != 0) break;
    const io_uring_cqe completion = {.user_data = entry->user_data, .res = entry->res, .flags = entry->flags};
    io_uring_cqe_seen(&ring_, entry);
    completed(completion);
  }
  while (Operation* operation = due_.first()) {
    due_.remove(*operation);
    complete(*operation, operation->error);
  }
  bury();
}

void UringBackend::completed(const io_uring_cqe& completion) {
  const int error = completion.res < 0 ? -completion.res : 0;
  const bool last = (completion.flags & IORING_CQE_F_MORE) == 0;
  if (completion.user_data == kNobody) return;
  if (completion.user_data == kMailbox) {
    if (last) watch_mailbox();
  } else if (completion.user_data & kAcceptorTag) {
    auto& acceptor = *reinterpret_cast<Acceptor*>(completion.user_data & ~kAcceptorTag);
    if (error == 0) acceptor.accepted(UniqueFd(completion.res));
    if (last) acceptor.ended(error);
  } else {
    auto& operation = *reinterpret_cast<Operation*>(completion.user_data);
    switch (operation.kind) {
      case Operation::Kind::kReceive:
        return received(static_cast<ReceiveOperation&>(operation), completion);
      case Operation::Kind::kSend:
        return sent(static_cast<SendOperation&>(operation), completion.res);
      case Operation::Kind::kHangup:
        return polled(static_cast<HangupOperation&>(operation), completion);
      default:
        return complete(operation, error);
    }
  }
}

void UringBackend::received(ReceiveOperation& operation, const io_uring_cqe& completion) {
  if (completion.res == -ENOBUFS && !operation.cancelled) {
    operation.socket->readable = true;
    return starve(operation);
  }
  if (completion.flags & IORING_CQE_F_BUFFER) {
    ProvidedBlocks& blocks = blocks_of(*operation.socket);
    const uint32_t position = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    if (completion.res > 0) {
      blocks.take(operation.received, position, static_cast<uint32_t>(completion.res));
    } else {
      blocks.take_back(position);
    }
  }
  operation.socket->readable = (completion.flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
  complete(operation, completion.res >= 0 ? 0 : operation.cancelled ? ECANCELED : -completion.res);
}

void UringBackend::sent(SendOperation& operation, int result) {
  if (result < 0) return complete(operation, -result);
  operation.left.consume(static_cast<size_t>(result));
  if (operation.left.empty()) return complete(operation, 0);
  if (operation.cancelled) return complete(operation, ECANCELED);  // cut short
  submit(operation);                                               // more slices than one message holds
}

void UringBackend::polled(HangupOperation& operation, const io_uring_cqe& completion) {
  const bool dead = completion.res > 0 && (completion.res & (POLLHUP | POLLERR)) != 0;
  const bool last = (completion.flags & IORING_CQE_F_MORE) == 0;
  if (dead && !last && !operation.dead) cancel(operation);
  operation.dead |= dead;
  if (!last) return;
  if (operation.dead) return complete(operation, 0);
  if (operation.cancelled) return complete(operation, ECANCELED);
  if (completion.res < 0) return complete(operation, -completion.res);
  start(operation);  // the kernel ended the watch for a reason of its own
}

}  // namespace leat::ring
