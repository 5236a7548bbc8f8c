#include "agent/lease.h"

#include <algorithm>

#include "agent/limits.h"

namespace leat::agent {

using Kind = LeaseAction::Kind;

LeaseBook::LeaseBook(uint64_t epoch, std::string holder, bool within_reach, Time now) : epoch_(epoch) {
  if (holder.empty()) return;
  holder_.instance = std::move(holder);
  if (within_reach) holder_.last_connection = kFormerConnection;
  holder_.deadline = now + limits::kAdoptDeadline;
}

LeaseBook::Actions LeaseBook::hello(ConnectionId connection, const std::string& instance, uint64_t epoch, Time now) {
  if (instance == holder_.instance) {
    holder_.connection = holder_.last_connection = connection;
    if (!holder_.revoking) {
      holder_.deadline.reset();
      epoch_ = std::max(epoch_, epoch);
      return {{Kind::kGrant, connection, epoch_}};
    }
    return {{Kind::kRevoke, connection, epoch_}};  // the one that was sent may be lost with the connection
  }
  if (epoch == 0) {
    std::erase_if(waiting_,
                  [&](const auto& entry) { return entry.second.instance == instance; });  // it has reconnected
    waiting_.emplace(connection, Candidate{instance, now + limits::kWarmUpDeadline});
    return advance(now);
  }
  const bool newest = epoch > epoch_ || (epoch == epoch_ && holder_.instance.empty());
  epoch_ = std::max(epoch_, epoch);
  // A proxy with a lease that this agent did not give, and nobody contests: the state folder was lost. It is armed, so
  // it is the holder.
  if (newest && !holder_.connection) {
    holder_ = Holder{.instance = instance, .rank = connection, .connection = connection, .last_connection = connection};
    return {{Kind::kGrant, connection, epoch_}};
  }
  // Any other proxy with an old lease drains, or should: it is told again, and its answer changes nothing.
  return {{Kind::kRevoke, connection, epoch}};
}

LeaseBook::Actions LeaseBook::ready(ConnectionId connection, Time now) {
  const auto found = waiting_.find(connection);
  if (found == waiting_.end()) return {};
  found->second.warm_up.reset();
  return advance(now);
}

LeaseBook::Actions LeaseBook::revoked(ConnectionId connection, uint64_t epoch, Time now) {
  if (holder_.connection != connection || epoch != epoch_) return {};  // unasked too: a proxy that was told to end
  holder_ = {};
  return advance(now);
}

LeaseBook::Actions LeaseBook::disconnected(ConnectionId connection, Time now) {
  waiting_.erase(connection);
  if (holder_.connection != connection) return {};
  holder_.connection.reset();
  if (!holder_.deadline) holder_.deadline = now + limits::kRevokeDeadline;
  return {};
}

LeaseBook::Actions LeaseBook::exited(ConnectionId connection, Time now) {
  waiting_.erase(connection);
  if (holder_.last_connection != connection) return {};
  holder_ = {};
  return advance(now);
}

LeaseBook::Actions LeaseBook::tick(Time now) { return advance(now); }

std::optional<LeaseBook::Time> LeaseBook::next_deadline() const {
  if (waiting_.empty()) return std::nullopt;  // nobody contests: nothing is due
  std::optional<Time> next = holder_.deadline;
  const std::optional<Time> warm_up = waiting_.rbegin()->second.warm_up;
  if (warm_up && (!next || *warm_up < *next)) next = warm_up;
  return next;
}

std::optional<ConnectionId> LeaseBook::armed() const { return holder_.revoking ? std::nullopt : holder_.connection; }

// Whatever the present state lets happen; every event that may change it ends here.
LeaseBook::Actions LeaseBook::advance(Time now) {
  if (waiting_.empty()) return {};
  const ConnectionId connection = waiting_.rbegin()->first;
  Candidate& candidate = waiting_.rbegin()->second;
  if (candidate.warm_up && now >= *candidate.warm_up) candidate.warm_up.reset();

  if (!holder_.instance.empty() && holder_.deadline && now >= *holder_.deadline) {
    holder_.deadline.reset();
    if (holder_.last_connection) return {{Kind::kEnd, *holder_.last_connection, epoch_}};  // what follows is its exit
    holder_ = {};  // the holder of the agent's former life did not come back, and nobody can end it
  }
  if (holder_.instance.empty()) {
    holder_ = Holder{
        .instance = candidate.instance, .rank = connection, .connection = connection, .last_connection = connection};
    waiting_.erase(connection);
    return {{Kind::kGrant, connection, ++epoch_}};
  }
  if (holder_.connection && !holder_.revoking && !candidate.warm_up && connection > holder_.rank) {
    holder_.revoking = true;
    holder_.deadline = now + limits::kRevokeDeadline;
    return {{Kind::kRevoke, *holder_.connection, epoch_}};
  }
  return {};
}

}  // namespace leat::agent
