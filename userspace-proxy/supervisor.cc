#include "userspace-proxy/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>

#include "common/log.h"
#include "common/unique_fd.h"

namespace leat::proxy {
namespace {

class Supervisor {
 public:
  explicit Supervisor(const ProxyOptions& options) : options_(options) {}

  int run() {
    block_signals();
    for (;;) {
      start();
      const int status = watch();
      if (const auto code = final_exit(status)) return *code;
      pause_before_restart();
    }
  }

 private:
  void block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&signals, signal);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    signals_ = UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  void start() {
    heartbeat_.forget();
    started_ = Clock::now();
    const pid_t supervisor = getpid();
    child_ = fork();
    LEAT_CHECK(child_ >= 0, "fork failed");
    if (child_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody would see it hang
      if (getppid() != supervisor) _exit(kExitDone);
      signals_.reset();
      _exit(serve(options_, heartbeat_));
    }
  }

  // Until the child has ended; its wait status.
  int watch() {
    auto last_look = Clock::now();
    for (;;) {
      pollfd watched{signals_.get(), POLLIN, 0};
      poll(&watched, 1, static_cast<int>(limits::kHeartbeatCheck.count()));
      if (const auto status = take_signals()) return *status;

      const auto now = Clock::now();
      const bool we_slept =
          now - last_look > 2 * limits::kHeartbeatCheck + limits::kHangDeadline / 2;  // a suspended machine: ask again
      last_look = now;
      if (!we_slept && heartbeat_.oldest() > limits::kHangDeadline) {
        log::error("a worker's loop has not turned for {} ms: killing process {}", heartbeat_.oldest().count(), child_);
        kill(child_, SIGKILL);
        heartbeat_.forget();
      }
    }
  }

  std::optional<int> take_signals() {
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) continue;
      ending_ = true;
      kill(child_, SIGTERM);
    }
    int status = 0;
    if (waitpid(child_, &status, WNOHANG) != child_) return std::nullopt;
    return status;
  }

  std::optional<int> final_exit(int status) {
    if (WIFEXITED(status)) {
      const int code = WEXITSTATUS(status);
      if (code == kExitDone || code == kExitCannotServe) return code;
      log::error("the worker process ended with code {}", code);
    } else {
      log::error("the worker process was ended by signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
    }
    if (ending_) return kExitDied;
    log::info("starting another");
    return std::nullopt;
  }

  // At once, unless it dies again and again right after its start.
  void pause_before_restart() {
    const bool lived = Clock::now() - started_ > limits::kRestartGrace;
    quick_deaths_ = lived ? 0 : quick_deaths_ + 1;
    if (quick_deaths_ <= 1) return;
    const auto pause = std::min(limits::kRestartPause * (1u << std::min(quick_deaths_, 10u)), limits::kRestartPauseMax);
    pollfd watched{signals_.get(), POLLIN, 0};
    poll(&watched, 1, static_cast<int>(pause.count()));
  }

  const ProxyOptions& options_;
  Heartbeat heartbeat_;
  UniqueFd signals_;
  pid_t child_ = -1;
  Clock::time_point started_;
  unsigned quick_deaths_ = 0;
  bool ending_ = false;
};

}  // namespace

int supervise(const ProxyOptions& options) { return Supervisor(options).run(); }

}  // namespace leat::proxy
