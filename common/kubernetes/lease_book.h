// Which of several replicas leads, by a Lease object: the rules of client-go's leader election. Another's lease has run
// out when it was not renewed for its whole duration by *this* clock, so clocks of machines need not agree. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace leat::kubernetes {

class LeaseBook {
 public:
  using Clock = std::chrono::steady_clock;
  struct Lease {
    std::string holder;   // empty: nobody's
    std::string version;  // the object's
    std::chrono::seconds duration{0};
  };
  enum class Move : uint8_t {
    kCreate,  // there is no Lease: make it ours
    kRenew,   // it is ours: say so again
    kTake,    // nobody holds it any more: make it ours
    kFollow,  // somebody else leads
  };

  explicit LeaseBook(std::string me) : me_(std::move(me)) {}

  Move decide(const std::optional<Lease>& lease, Clock::time_point now) {
    if (!lease) return Move::kCreate;
    if (lease->holder == me_) return Move::kRenew;
    if (lease->holder.empty()) return Move::kTake;
    if (lease->version != seen_version_) {
      seen_version_ = lease->version;
      seen_at_ = now;
    }
    return now - seen_at_ > lease->duration ? Move::kTake : Move::kFollow;
  }
  // The server has taken our word for it. Leadership is believed for less than others wait, from before the request.
  void held(Clock::time_point asked_at, std::chrono::seconds duration) { until_ = asked_at + duration * 2 / 3; }
  void lost() { until_ = {}; }
  [[nodiscard]] bool leads(Clock::time_point now) const { return now < until_; }
  [[nodiscard]] const std::string& me() const { return me_; }

 private:
  std::string me_;
  std::string seen_version_;
  Clock::time_point seen_at_{};
  Clock::time_point until_{};
};

}  // namespace leat::kubernetes
