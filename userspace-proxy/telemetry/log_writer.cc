#include "userspace-proxy/telemetry/log_writer.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "userspace-proxy/limits.h"

namespace leat::proxy {

LogWriter::LogWriter(int fd) : fd_(fd), thread_(&LogWriter::run, this) {}

LogWriter::~LogWriter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool LogWriter::write(std::string&& lines) {
  {
    const std::lock_guard lock(mutex_);
    if (queued_.size() + lines.size() > limits::kLogBytesQueued) return false;
    queued_.empty() ? queued_.swap(lines) : static_cast<void>(queued_.append(lines));
  }
  changed_.notify_all();
  return true;
}

void LogWriter::flush(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [this] { return queued_.empty() && !writing_; });
}

void LogWriter::run() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return !queued_.empty() || ending_; });
    if (queued_.empty()) return;
    const std::string lines = std::exchange(queued_, {});
    writing_ = true;
    lock.unlock();
    for (size_t at = 0; at < lines.size();) {
      const ssize_t written = ::write(fd_, lines.data() + at, lines.size() - at);
      if (written < 0 && errno != EINTR) break;  // nobody will ever read it
      if (written > 0) at += static_cast<size_t>(written);
    }
    lock.lock();
    writing_ = false;
    changed_.notify_all();
  }
}

}  // namespace leat::proxy
