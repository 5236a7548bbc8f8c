// The thread that reads counters: it asks the workers for copies of theirs, makes counters of them, and hands those to
// whoever asked: the scrape server, which runs here too, or the control thread, for the agent.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "common/event_loop.h"
#include "userspace-proxy/heartbeat.h"
#include "userspace-proxy/ring/mailbox.h"
#include "userspace-proxy/scrape/server.h"
#include "userspace-proxy/worker_thread.h"

namespace leat::proxy::scrape {

// What the control thread knows for a scrape: the model, its own counters, and the agent's.
struct ControlReport {
  MeshRef mesh;
  std::vector<v1::Counter> counters;
};

class Thread {
 public:
  // Starts the thread.
  static Result<std::unique_ptr<Thread>> start();
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();

  // Before the first question.
  void set_workers(std::vector<WorkerThread*> workers) { workers_ = std::move(workers); }

  // All of these from any thread; what they are given is called on this object's.

  // Calls `counter` with each counter of the workers and of what they share, then `done`.
  void gather(MeshRef mesh, CounterSink counter, std::function<void()> done);

  struct Served {
    UniqueFd listener;
    // Calls what it is given once, on any thread.
    std::function<void(std::function<void(std::shared_ptr<ControlReport>)>)> control;
    std::function<std::optional<std::string>()> unhealthy, unready;  // why
  };
  void serve(Served served);
  void stop_serving();

 private:
  explicit Thread(std::unique_ptr<EventLoop> loop);
  void run();
  void gather_here(const MeshRef& mesh, CounterSink counter, std::function<void()> done);
  void answer_metrics(std::function<void(ExpositionPtr)> reply);
  void scrape_now();
  void finish_scrape(const std::shared_ptr<Exposition>& made);

  std::unique_ptr<EventLoop> loop_;
  ring::Mailbox mailbox_;
  std::vector<WorkerThread*> workers_;
  std::optional<Served> served_;
  std::optional<Server> server_;
  std::vector<std::function<void(ExpositionPtr)>> waiting_;  // for the scrape that comes next
  bool scraping_ = false;
  Clock::time_point last_scrape_{};
  uint64_t scrapes_ = 0;
  std::thread thread_;
};

}  // namespace leat::proxy::scrape
