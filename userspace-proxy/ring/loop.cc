#include "userspace-proxy/ring/loop.h"

#include <bit>
#include <utility>

#include "common/check.h"
#include "userspace-proxy/ring/epoll_backend.h"
#include "userspace-proxy/ring/uring_backend.h"

namespace leat::ring {

Result<std::unique_ptr<Loop>> Loop::create(const LoopOptions& options) {
  LEAT_CHECK(std::has_single_bit(options.standing_blocks) && std::popcount(options.reserve_blocks) <= 1,
             "not a power of two");
  LEAT_CHECK(options.standing_blocks * 2 + options.reserve_blocks <= options.buffer_blocks, "too few buffer_blocks");
  std::unique_ptr<Loop> loop(new Loop(options));
  if (options.backend == BackendKind::kIoUring) {
    LEAT_TRY(loop->backend_, UringBackend::create(*loop, options));
  } else {
    LEAT_TRY(loop->backend_, EpollBackend::create(*loop));
  }
  return loop;
}

Loop::Loop(const LoopOptions& options)
    : options_(options), now_(Clock::now()), buffers_(options.buffer_blocks), timers_(now_) {}

Loop::~Loop() = default;

void Loop::run() {
  stopped_ = false;
  while (!stopped_) {
    flush_hooks();
    backend_->wait(timers_.next());
    now_ = Clock::now();
    backend_->dispatch();
    timers_.advance(now_);
    mailbox_.run_all();
    ++counters_.turns;
  }
}

void Loop::stop() {
  post([this] { stopped_ = true; });
}

void Loop::post(std::function<void()> work) { mailbox_.post(std::move(work)); }

void Loop::at_turn_end(TurnHook& hook) {
  if (!hook.queued()) hook.enter_before(hooks_);
}

void Loop::flush_hooks() {
  while (hooks_.queued()) {
    TurnHook& first = *hooks_.next_;
    first.leave();
    first.turn_end();
  }
}

}  // namespace leat::ring
