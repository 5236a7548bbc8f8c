// Writes lines to the proxy's standard output on a thread of its own: whoever reads them may be slow, or stand still,
// and no worker waits for that. What is beyond limits::kLogBytesQueued is dropped and counted.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace leat::proxy {

class LogWriter {
 public:
  // Starts the thread; `fd` outlives this.
  explicit LogWriter(int fd);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  ~LogWriter();

  // Any thread. False: there was no room for these `lines`, whole lines.
  bool write(std::string&& lines);
  // Waits until all was written, or `patience` is over.
  void flush(std::chrono::milliseconds patience);

 private:
  void run();

  int fd_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string queued_;
  bool writing_ = false;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace leat::proxy
