#include "userspace-proxy/scrape/thread.h"

#include "userspace-proxy/limits.h"

namespace leat::proxy::scrape {

Result<std::unique_ptr<Thread>> Thread::start() {
  LEAT_TRY(auto loop, EventLoop::make());
  std::unique_ptr<Thread> self(new Thread(std::move(loop)));
  self->thread_ = std::thread(&Thread::run, self.get());
  return self;
}

Thread::Thread(std::unique_ptr<EventLoop> loop) : loop_(std::move(loop)) {
  loop_->watch(mailbox_.wake_fd(), EPOLLIN | EPOLLET, [this](uint32_t) { mailbox_.run_all(); });
}

Thread::~Thread() {
  mailbox_.post([this] { loop_->stop(); });
  thread_.join();
  server_.reset();
}

void Thread::run() { loop_->run(); }

// ---------------------------------------------------------------- gathering

void Thread::gather(MeshRef mesh, CounterSink counter, std::function<void()> done) {
  mailbox_.post([this, mesh = std::move(mesh), counter = std::move(counter), done = std::move(done)] {
    gather_here(mesh, counter, done);
  });
}

void Thread::gather_here(const MeshRef& mesh, CounterSink counter, std::function<void()> done) {
  struct Gathered {
    std::vector<std::shared_ptr<WorkerReport>> reports;
    std::atomic<size_t> left;
  };
  auto all = std::make_shared<Gathered>();
  for (size_t i = 0; i < workers_.size(); ++i) all->reports.push_back(std::make_shared<WorkerReport>());
  all->left = workers_.size();
  const auto put_together = [mesh, counter = std::move(counter), done = std::move(done), all] {
    std::vector<RequestSeries> requests;
    std::vector<TcpSeries> connections;
    for (const auto& report : all->reports) {
      for (v1::Counter& each : report->counters) counter(std::move(each));
      requests.push_back(std::move(report->requests));
      connections.push_back(std::move(report->connections));
    }
    const std::string& trust_domain = mesh->settings().trust_domain();
    RequestSeries::report(std::move(requests), trust_domain, counter);
    TcpSeries::report(std::move(connections), trust_domain, counter);
    report_pools(*mesh, Clock::now(), counter);
    done();
  };
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->post([this, all, put_together, report = all->reports[i]](Worker& worker) {
      worker.report(report, [this, all, put_together] {
        if (all->left.fetch_sub(1) == 1) mailbox_.post(put_together);
      });
    });
  }
}

// ---------------------------------------------------------------- serving

void Thread::serve(Served served) {
  mailbox_.post([this, given = std::make_shared<Served>(std::move(served))] {
    served_.emplace(std::move(*given));
    server_.emplace(*loop_, std::move(served_->listener),
                    Server::Answers{.metrics = [this](auto reply) { answer_metrics(std::move(reply)); },
                                    .healthy = served_->unhealthy,
                                    .ready = served_->unready});
  });
}

void Thread::stop_serving() {
  mailbox_.post([this] { server_.reset(); });
}

// Scrapes that come together share one gathering, and those that come fast wait for the next.
void Thread::answer_metrics(std::function<void(ExpositionPtr)> reply) {
  waiting_.push_back(std::move(reply));
  if (std::exchange(scraping_, true)) return;
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - last_scrape_);
  if (since >= limits::kScrapeInterval) return scrape_now();
  loop_->after(limits::kScrapeInterval - since, [this] { scrape_now(); });
}

void Thread::scrape_now() {
  last_scrape_ = Clock::now();
  served_->control([this](std::shared_ptr<ControlReport> report) {
    mailbox_.post([this, report = std::move(report)] {
      auto made = std::make_shared<Exposition>();
      for (const v1::Counter& counter : report->counters) made->add(counter);
      report->counters.clear();
      gather_here(
          report->mesh, [made](v1::Counter counter) { made->add(counter); }, [this, made] { finish_scrape(made); });
    });
  });
}

void Thread::finish_scrape(const std::shared_ptr<Exposition>& made) {
  ++scrapes_;
  if (server_) {
    made->add(counter_of("leat_scrapes_total", {}, static_cast<double>(scrapes_)));
    made->add(counter_of("leat_scrape_requests_total", {}, static_cast<double>(server_->counters().requests)));
    made->add(counter_of("leat_scrape_connections_ended_total", {}, static_cast<double>(server_->counters().ended)));
  }
  scraping_ = false;
  for (const auto& reply : std::exchange(waiting_, {})) reply(made);
}

}  // namespace leat::proxy::scrape
