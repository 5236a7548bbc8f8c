// One worker's thread: it makes the loop and the Worker, waits for leave to run, and turns the loop.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "common/result.h"
#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {

class WorkerThread {
 public:
  // Starts the thread; its loop and Worker are made when this returns, and nothing runs before run(). Fails as
  // Loop::create() does.
  static Result<std::unique_ptr<WorkerThread>> start(const ring::LoopOptions& loop_options, Worker::Options options);
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;
  ~WorkerThread();  // stops the loop; the Worker is quiet by then

  void run() { leave_to_run_.set_value(); }
  // From any thread: `work` runs on the worker's.
  void post(std::function<void(Worker&)> work) {
    loop_->post([worker = worker_.get(), work = std::move(work)] { work(*worker); });
  }

 private:
  WorkerThread() = default;
  void thread_main(const ring::LoopOptions& loop_options, Worker::Options options, std::promise<Result<void>> made);

  std::unique_ptr<ring::Loop> loop_;
  std::unique_ptr<Worker> worker_;
  std::promise<void> leave_to_run_;
  std::thread thread_;
};

}  // namespace leat::proxy
