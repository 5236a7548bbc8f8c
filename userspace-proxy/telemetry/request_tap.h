// The last requests, for `leat tap`. Kept only while somebody asks: each question keeps it on for limits::kTapTime. One
// a worker.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/limits.h"
#include "userspace-proxy/telemetry/observed_request.h"

namespace leat::proxy {

class RequestTap {
 public:
  // `sequence` numbers requests over all workers.
  explicit RequestTap(std::atomic<uint64_t>& sequence) : sequence_(sequence) {}

  [[nodiscard]] bool on() const { return on_; }
  void add(const ObservedRequest& request);
  // Appends those with since ≤ sequence < until, and keeps the tap on.
  void report(uint64_t since, uint64_t until, Clock::time_point now, std::vector<v1::TappedRequest>* out);
  // Call about once a second: nobody may be asking any more.
  void tend(Clock::time_point now);
  [[nodiscard]] uint64_t dropped() const { return dropped_; }  // that nobody had asked for when their place was needed

 private:
  std::atomic<uint64_t>& sequence_;
  std::deque<v1::TappedRequest> requests_;
  Clock::time_point until_{};
  uint64_t asked_ = 0;  // what comes before this was reported
  uint64_t dropped_ = 0;
  bool on_ = false;
};

}  // namespace leat::proxy
