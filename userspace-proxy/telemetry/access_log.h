// The access log of one worker: which requests and connections are written, at most how many a second, and in which
// form.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/access_log_format.h"
#include "leat.pb.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/timer.h"
#include "userspace-proxy/telemetry/log_writer.h"
#include "userspace-proxy/telemetry/observed_request.h"

namespace leat::proxy {

class AccessLog {
 public:
  // `writer`: null, and nothing is ever written.
  AccessLog(ring::Loop& loop, LogWriter* writer);
  ~AccessLog();

  void configure(const v1::MeshSettings& settings);
  // Whether what this pod sends, or is sent, is logged at all. Null: a pod that the mesh does not know.
  [[nodiscard]] bool wants(const Workload* pod) const {
    if (pod != nullptr && pod->telemetry && pod->telemetry->access_log)
      return *pod->telemetry->access_log && writer_ != nullptr;
    return on_;
  }
  // Call where wants(pod).
  void write(const ObservedRequest& request, const Workload* pod);
  // A connection that has closed, but one that carried HTTP: its requests are logged.
  void write(const FlowFacts& flow);

  [[nodiscard]] uint64_t lines() const { return lines_; }
  [[nodiscard]] uint64_t over_rate() const { return over_rate_; }
  [[nodiscard]] uint64_t unread() const { return unread_; }

 private:
  bool may_write();
  void hand_over();

  ring::Loop& loop_;
  LogWriter* writer_;
  ring::Timer timer_;
  LogFormat format_;
  std::string pending_;
  uint64_t pending_lines_ = 0;
  uint32_t rate_ = 0;  // lines a second
  uint32_t in_second_ = 0;
  ring::Clock::time_point second_{};
  bool on_ = false;
  uint64_t lines_ = 0, over_rate_ = 0, unread_ = 0;
};

}  // namespace leat::proxy
