// The event loop of one worker thread: what it owns (kernel ring or epoll set, buffers, timers, mailbox) and the order
// of a turn.
//
// A turn: flush (at_turn_end hooks) → one kernel entry, which submits, and sleeps if nothing is due → completions
// resume coroutines → timers → what other threads posted. Everything runs on the thread that created the Loop; only
// post() and stop() may be called elsewhere. Two back ends carry operations out, with the same meaning: io_uring, and
// epoll where a node forbids io_uring.
#pragma once

#include <coroutine>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <utility>

#include "common/result.h"
#include "userspace-proxy/ring/buffer.h"
#include "userspace-proxy/ring/mailbox.h"
#include "userspace-proxy/ring/timer.h"

namespace leat::ring {

// Failures of the hot path carry errno only (positive).
struct Errno {
  int value = 0;
};
template <typename T>
using IoResult = std::expected<T, Errno>;

enum class BackendKind : uint8_t { kIoUring, kEpoll };

struct LoopOptions {
  BackendKind backend = BackendKind::kIoUring;
  uint32_t buffer_blocks =
      4096;  // of 16 KiB: the bound on bytes in flight in this worker; memory is touched only when used
  uint32_t standing_blocks = 64;  // lent to the kernel for receives at a time; a power of two
  uint32_t reserve_blocks =
      64;  // that receives leave alone, but for Socket::use_reserve(); a power of two, or 0 for none
  uint32_t submissions =
      256;  // io_uring entries; the ring is charged to RLIMIT_MEMLOCK, which is 8 MiB a uid by default
  uint32_t completions = 2048;
};

// Counted for the life of the loop; read on its thread.
struct LoopCounters {
  uint64_t turns = 0;
  uint64_t starved_turns = 0;    // that began with receives waiting and no block for them
  uint64_t accept_backoffs = 0;  // accepts put off because the process or the system was out of descriptors or memory
};

class Backend;
class SocketState;

// "Call me before the loop sleeps." Registers once a turn however often it is asked; leaves the list when destroyed.
class TurnHook {
 public:
  TurnHook() = default;
  TurnHook(const TurnHook&) = delete;
  TurnHook& operator=(const TurnHook&) = delete;

 protected:
  virtual ~TurnHook() { leave(); }

 private:
  friend class Loop;
  virtual void turn_end() = 0;
  [[nodiscard]] bool queued() const { return next_ != this; }
  void enter_before(TurnHook& other) {
    next_ = &other;
    previous_ = std::exchange(other.previous_, this);
    previous_->next_ = this;
  }
  void leave() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    next_ = previous_ = this;
  }
  TurnHook* next_ = this;  // a ring, closed by the loop's own hook
  TurnHook* previous_ = this;
};

class Loop {
 public:
  // Call on the thread that will run the loop. kDenied or kUnsupported with the cause and the cure in the message when
  // this node does not give io_uring: the caller may then choose epoll. After create() the loop makes no system call
  // that seal() takes away.
  static Result<std::unique_ptr<Loop>> create(const LoopOptions& options);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop();  // every Socket and Acceptor is gone by then, and nothing is in flight

  void run();   // until stop()
  void stop();  // from any thread; the turn under way is finished

  // Runs `work` on the loop's thread, in the order of posting. From any thread; wakes the loop at most once for many
  // posts.
  void post(std::function<void()> work);

  [[nodiscard]] Clock::time_point now() const { return now_; }  // read from the clock once a turn
  [[nodiscard]] BufferPool& buffers() { return buffers_; }
  [[nodiscard]] TimerWheel& timers() { return timers_; }
  [[nodiscard]] const LoopCounters& counters() const { return counters_; }
  [[nodiscard]] BackendKind backend_kind() const { return options_.backend; }

  // `hook` is called once before the loop next sleeps, first registered first. A hook may register hooks: they run in
  // the same flush.
  void at_turn_end(TurnHook& hook);

  // co_await loop.sleep_until(t). Not cancellable: for that, own a Timer.
  struct Sleep;
  [[nodiscard]] Sleep sleep_until(Clock::time_point deadline);

 private:
  friend class Socket;
  friend class SocketState;
  friend class Acceptor;
  friend class Backend;
  friend class EpollBackend;
  friend class UringBackend;
  explicit Loop(const LoopOptions& options);
  void flush_hooks();

  LoopOptions options_;
  Clock::time_point now_;
  BufferPool buffers_;
  TimerWheel timers_;
  LoopCounters counters_;
  Mailbox mailbox_;
  struct HookRing : TurnHook {
    void turn_end() override {}
  } hooks_;
  bool stopped_ = false;
  std::unique_ptr<Backend> backend_;
};

struct Loop::Sleep {
  Loop& loop;
  Clock::time_point deadline;
  std::coroutine_handle<> waiter{};
  Timer timer{loop.timers_, [this] { waiter.resume(); }};

  [[nodiscard]] bool await_ready() const { return deadline <= loop.now_; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter = handle;
    timer.arm(deadline);
  }
  static void await_resume() {}
};
inline Loop::Sleep Loop::sleep_until(Clock::time_point deadline) { return {*this, deadline}; }

}  // namespace leat::ring
