// One of many programs leads, by a Lease: looks at it again and again, takes it when it is nobody's, renews it. Who
// can't ask does not lead. A program that ends does not give the lease back: its successor of the same name goes on
// with it, and others wait for it to run out.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/event_loop.h"
#include "common/kubernetes/lease.h"

namespace leat::kubernetes {

class LeaderElection {
 public:
  struct Settings {
    LeaseName lease;
    std::string me;
    std::chrono::seconds duration = kLeaseDuration;
    // Until a follower looks again: it takes over that long, at most twice, after the lease ran out.
    std::function<std::chrono::milliseconds()> follower_pause;
  };

  // `changed`: leads() is another one than it was.
  LeaderElection(EventLoop& loop, ApiClient& client, Settings settings, std::function<void()> changed)
      : loop_(loop),
        client_(client),
        settings_(std::move(settings)),
        changed_(std::move(changed)),
        book_(settings_.me) {}
  ~LeaderElection() { loop_.cancel(timer_); }

  void start() { look(); }
  [[nodiscard]] bool leads() const { return book_.leads(LeaseBook::Clock::now()); }
  // Why the Lease could not be read or written the last time; empty: it could.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  void look();
  void on_lease(const std::optional<LeaseBook::Lease>& lease);
  void end_look(std::chrono::milliseconds pause);
  void failed(const Error& error);

  EventLoop& loop_;
  ApiClient& client_;
  Settings settings_;
  std::function<void()> changed_;
  LeaseBook book_;
  bool led_ = false;
  std::string failure_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace leat::kubernetes
