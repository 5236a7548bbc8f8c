#include "common/kubernetes/leader_election.h"

#include <utility>

#include "common/log.h"

namespace leat::kubernetes {

void LeaderElection::look() {
  timer_ = 0;
  read_lease(client_, settings_.lease, [this](const Result<std::optional<LeaseBook::Lease>>& lease) {
    if (!lease) return failed(lease.error());
    on_lease(*lease);
  });
}

void LeaderElection::on_lease(const std::optional<LeaseBook::Lease>& lease) {
  const auto asked_at = LeaseBook::Clock::now();
  if (book_.decide(lease, asked_at) == LeaseBook::Move::kFollow) {
    book_.lost();
    failure_.clear();
    return end_look(settings_.follower_pause());
  }
  write_lease(client_, settings_.lease, settings_.me, settings_.duration, lease,
              [this, asked_at](const Result<void>& written) {
                if (!written && written.error().code != ErrorCode::kConflict) return failed(written.error());
                failure_.clear();
                if (!written) {  // somebody else was faster
                  book_.lost();
                  return end_look(settings_.follower_pause());
                }
                book_.held(asked_at, settings_.duration);
                end_look(settings_.duration / 3);
              });
}

void LeaderElection::failed(const Error& error) {
  failure_ = error.message;
  end_look(leads() ? std::chrono::milliseconds(settings_.duration) / 6 : settings_.follower_pause());
}

void LeaderElection::end_look(std::chrono::milliseconds pause) {
  timer_ = loop_.after(pause, [this] { look(); });
  if (std::exchange(led_, leads()) == leads()) return;
  log::info("{} by Lease {}/{}", led_ ? "leads" : "follows", settings_.lease.ns, settings_.lease.name);
  changed_();
}

}  // namespace leat::kubernetes
