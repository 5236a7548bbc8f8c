// The HTTP connections of a worker's clients: those that wait for their client are ended when they have waited too
// long, and when the proxy leaves. Nothing is armed for it: the worker looks at the oldest ones once a second.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <string_view>
#include <utility>

#include "userspace-proxy/limits.h"
#include "userspace-proxy/ring/socket.h"

namespace leat::proxy {

class HttpConnections {
 public:
  enum class Waits : uint8_t {
    kForRequest,  // idle: the client may be silent for long
    kForHead,     // a request has begun
    kForNothing,  // of the client: whatever is slow now is somebody's business elsewhere
  };

  // A connection's place in the list. One that waits too long has its receive cancelled, and finds overdue() true.
  class Place {
   public:
    // `pod`: uid of the client's, which outlives this.
    Place(HttpConnections& all, ring::Socket& client, std::string_view pod, ring::Clock::time_point now)
        : all_(all), client_(client), pod_(pod) {
      auto& list = all_.of(waits_);
      since_ = now;
      position_ = list.insert(list.end(), this);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { all_.of(waits_).erase(position_); }

    void waits(Waits what, ring::Clock::time_point now) {
      auto& from = all_.of(waits_);
      auto& to = all_.of(waits_ = what);
      to.splice(to.end(), from, position_);
      since_ = now;
      overdue_ = false;
    }
    [[nodiscard]] bool overdue() const { return overdue_; }
    // The client's pod has left the mesh: its next connection is none of this proxy's, so this one had better end.
    [[nodiscard]] bool pod_gone() const { return pod_gone_; }

   private:
    friend class HttpConnections;
    // Its receive completes in a later turn, so that no list changes here.
    void end() {
      if (!std::exchange(overdue_, true)) client_.cancel_recv();
    }

    HttpConnections& all_;
    ring::Socket& client_;
    std::string_view pod_;
    ring::Clock::time_point since_;
    std::list<Place*>::iterator position_;
    Waits waits_ = Waits::kForRequest;
    bool overdue_ = false;
    bool pod_gone_ = false;
  };

  // Call it about once a second, while draining more often.
  void end_overdue(ring::Clock::time_point now) {
    end_since(Waits::kForRequest, now - (draining_ ? limits::kDrainIdle : limits::kClientIdle));
    end_since(Waits::kForHead, now - limits::kHeadTime);
  }
  // Ends those of that pod that wait for a request; the others end with the one that they serve.
  void pod_gone(std::string_view uid) {
    for (std::list<Place*>& list : lists_) {
      for (Place* place : list) {
        if (place->pod_ != uid) continue;
        place->pod_gone_ = true;
        if (place->waits_ == Waits::kForRequest) place->end();
      }
    }
  }
  // From here on responses say that the connection closes.
  void drain() { draining_ = true; }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] size_t idle() const { return lists_[static_cast<size_t>(Waits::kForRequest)].size(); }

 private:
  [[nodiscard]] std::list<Place*>& of(Waits what) { return lists_[static_cast<size_t>(what)]; }
  void end_since(Waits what, ring::Clock::time_point limit) {
    for (Place* place : of(what)) {
      if (place->since_ > limit) break;
      place->end();
    }
  }

  std::array<std::list<Place*>, 3> lists_;  // longest waiting first
  bool draining_ = false;
};

}  // namespace leat::proxy
