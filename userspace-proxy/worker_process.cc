#include "userspace-proxy/worker_process.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "common/event_loop.h"
#include "common/log.h"
#include "userspace-proxy/agent_link.h"
#include "userspace-proxy/confine.h"
#include "userspace-proxy/control_client.h"
#include "userspace-proxy/scrape/thread.h"
#include "userspace-proxy/tls/system_roots.h"
#include "userspace-proxy/worker_thread.h"

namespace leat::proxy {
namespace {

using Workers = std::vector<std::unique_ptr<WorkerThread>>;

std::string random_instance() {
  uint64_t parts[2] = {};
  static_cast<void>(getrandom(parts, sizeof parts, 0));
  return fmt::format("{:016x}{:016x}", parts[0], parts[1]);
}

// SIGTERM and SIGINT as a descriptor; blocked here before any thread is made, so in all of them.
UniqueFd termination_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<Workers> start_workers_on(ring::BackendKind backend, size_t count,
                                 const std::function<Worker::Options(size_t)>& options_of) {
  Workers workers;
  const ring::LoopOptions loop_options{.backend = backend};
  for (size_t i = 0; i < count; ++i) {
    LEAT_TRY(auto worker, WorkerThread::start(loop_options, options_of(i)));
    workers.push_back(std::move(worker));
  }
  return workers;
}

// The back end that was asked for, or io_uring with epoll to fall back to; `backend` says which it was.
Result<Workers> start_workers(const ProxyOptions& options, ring::BackendKind* backend,
                              const std::function<Worker::Options(size_t)>& options_of) {
  *backend = options.backend.value_or(ring::BackendKind::kIoUring);
  Result<Workers> workers = start_workers_on(*backend, options.workers, options_of);
  if (workers || options.backend) return workers;
  log::warn("{}; using epoll, which is a little slower", workers.error().message);
  *backend = ring::BackendKind::kEpoll;
  return start_workers_on(*backend, options.workers, options_of);
}

// A process with more rights than it needs does not serve, unless it was told to.
bool may_go_on(const ProxyOptions& options, const Result<void>& confined) {
  if (confined) return true;
  if (options.allow_unconfined) {
    log::warn("serving unconfined: {}", confined.error().message);
    return true;
  }
  log::error(
      "{}; this process parses what strangers send: it does not serve with more rights than it needs "
      "(--allow-unconfined does)",
      confined.error().message);
  return false;
}

// A port that is taken costs the metrics, never the pods' connections.
UniqueFd open_scrapes(const ProxyOptions& options) {
  if (!options.metrics) return {};
  auto listener = scrape::listen_at(*options.metrics);
  if (!listener) {
    log::error("no metrics and no health are served: {}; choose another address with --metrics",
               listener.error().message);
    return {};
  }
  log::info("metrics and health at http://{}/", options.metrics->text());
  return std::move(*listener);
}

std::optional<std::string> hanging(const Heartbeat& heartbeat) {
  const auto oldest = heartbeat.oldest();
  if (oldest <= limits::kHangDeadline) return std::nullopt;
  return fmt::format("a worker's loop has not turned for {} ms", oldest.count());
}

// Connections that outlived the drain deadline end with a reset when this process does, not with what looks like a
// clean end. Listening sockets are the agent's too, and what they accept would inherit this.
void reset_connections(uint64_t descriptors) {
  const linger at_once{1, 0};
  for (int fd = 3; fd < static_cast<int>(descriptors); ++fd) {
    int protocol = 0;
    int listening = 0;
    socklen_t size = sizeof protocol;
    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) != 0 || protocol != IPPROTO_TCP) continue;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || listening) continue;
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
}

}  // namespace

int serve(const ProxyOptions& options, Heartbeat& heartbeat) {
  const UniqueFd signals = termination_signals();
  const Result<uint64_t> descriptors = raise_descriptor_limit();
  auto loop = EventLoop::make();
  if (!descriptors || !loop) {
    log::error("{}", descriptors ? loop.error().message : descriptors.error().message);
    return kExitCannotServe;
  }
  if (!may_go_on(options, drop_privileges(getuid(), getgid()))) return kExitCannotServe;

  std::atomic<uint64_t> closed_sequence{1};
  std::atomic<uint64_t> tapped_sequence{1};
  // Threads and sockets are made before the filter forbids them.
  LogWriter access_log(STDOUT_FILENO);
  auto counters = scrape::Thread::start();
  if (!counters) {
    log::error("{}", counters.error().message);
    return kExitCannotServe;
  }
  UniqueFd scrapes = open_scrapes(options);
  std::optional<AgentLink> link;
  ring::BackendKind backend{};
  ControlClient control(**loop, {.instance = random_instance(),
                                 .closed_sequence = &closed_sequence,
                                 .tapped_sequence = &tapped_sequence,
                                 .counters = counters->get(),
                                 .reconnect = [&] { link->connect(); },
                                 .leave = [&] { (*loop)->stop(); }});
  Result<Workers> workers = start_workers(options, &backend, [&](size_t index) {
    return Worker::Options{.index = static_cast<int>(index),
                           .descriptors = *descriptors,
                           .closed_sequence = &closed_sequence,
                           .tapped_sequence = &tapped_sequence,
                           .log = &access_log,
                           .agent = control.requests_of(index),
                           .listener_died = control.listener_died_handler(),
                           .beat = [&heartbeat, index] { heartbeat.beat(index); }};
  });
  if (!workers) {
    log::error("{}", workers.error().message);
    return kExitCannotServe;
  }
  const char* backend_name = backend == ring::BackendKind::kIoUring ? "io_uring" : "epoll";

  link.emplace(**loop, options.agent, [&](UniqueFd socket) { control.connected(std::move(socket)); });
  (*loop)->watch(signals.get(), EPOLLIN, [&](uint32_t) {
    signalfd_siginfo info;
    if (read(signals.get(), &info, sizeof info) == sizeof info) control.shut_down();
  });
  tls::open_system_roots();  // nothing can be opened afterwards
  if (!may_go_on(options, seal())) _exit(kExitCannotServe);

  std::vector<WorkerThread*> threads;
  for (const auto& worker : *workers) {
    worker->run();
    threads.push_back(worker.get());
  }
  control.set_workers(std::move(threads), backend_name);
  if (scrapes) {
    (*counters)->serve({.listener = std::move(scrapes),
                        .control = [&](auto done) { control.report(std::move(done)); },
                        .unhealthy = [&] { return hanging(heartbeat); },
                        .unready = [&] { return control.unready(); }});
  }
  log::info("leat-proxy {}: {} workers, {}, {} descriptors", LEAT_VERSION, workers->size(), backend_name, *descriptors);
  link->connect();
  (*loop)->run();
  log::info("leaving");
  access_log.flush(std::chrono::seconds(1));
  reset_connections(*descriptors);
  _exit(kExitDone);
}

}  // namespace leat::proxy
