#include "userspace-proxy/worker_thread.h"

namespace leat::proxy {

Result<std::unique_ptr<WorkerThread>> WorkerThread::start(const ring::LoopOptions& loop_options,
                                                          Worker::Options options) {
  std::unique_ptr<WorkerThread> self(new WorkerThread());
  std::promise<Result<void>> made;
  std::future<Result<void>> outcome = made.get_future();
  self->thread_ =
      std::thread(&WorkerThread::thread_main, self.get(), std::cref(loop_options), std::move(options), std::move(made));
  LEAT_TRY_VOID(outcome.get());
  return self;
}

// The loop belongs to this thread from its making on: the kernel takes submissions of no other.
void WorkerThread::thread_main(const ring::LoopOptions& loop_options, Worker::Options options,
                               std::promise<Result<void>> made) {
  auto loop = ring::Loop::create(loop_options);
  if (!loop) return made.set_value(std::unexpected(std::move(loop).error()));
  loop_ = std::move(*loop);
  worker_ = std::make_unique<Worker>(*loop_, std::move(options));
  made.set_value({});
  leave_to_run_.get_future().wait();
  loop_->run();
  worker_.reset();
  loop_.reset();
}

WorkerThread::~WorkerThread() {
  if (!thread_.joinable()) return;
  if (loop_) {
    loop_->stop();
    try {
      leave_to_run_.set_value();
    } catch (const std::future_error&) {  // it runs
    }
  }
  thread_.join();
}

}  // namespace leat::proxy
