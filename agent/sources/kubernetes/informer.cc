#include "agent/sources/kubernetes/informer.h"

#include <utility>

#include <fmt/format.h>

namespace leat::sources {
namespace {

constexpr int kNotFound = 404, kGone = 410, kGatewayTimeout = 504;

bool is_expired(const Informer::Failure& failure) { return failure.status == kGone || failure.reason == "Expired"; }

// The server's cache has not come to that version yet, or comes from an older backup.
bool is_too_new(const Informer::Failure& failure) {
  return failure.status == kGatewayTimeout && failure.message.find("Too large resource version") != std::string::npos;
}

std::string describe(const Informer::Failure& failure) {
  if (failure.status == 0) return failure.message;
  return fmt::format("{}{}{}{}{}", failure.status, failure.reason.empty() ? "" : " ", failure.reason,
                     failure.message.empty() ? "" : ": ", failure.message);
}

}  // namespace

Informer::Ask Informer::start() { return list({}); }

Informer::Ask Informer::list(std::chrono::milliseconds delay) {
  first_page_ = true;
  return {.what = Ask::What::kList,
          .delay = delay,
          .resource_version = seen_version_,
          .continue_token = {},
          .duration = {}};
}

Informer::Ask Informer::watch(Clock::time_point now, std::chrono::milliseconds delay) {
  asked_at_ = now + delay;
  const auto spread = (kLongestWatch - kShortestWatch) * random_();
  return {.what = Ask::What::kWatch,
          .delay = delay,
          .resource_version = seen_version_,
          .continue_token = {},
          .duration = kShortestWatch + std::chrono::duration_cast<std::chrono::seconds>(spread)};
}

Informer::Ask Informer::listed(Clock::time_point now, std::string resource_version, std::string continue_token) {
  failing_since_.reset();
  missing_since_.reset();
  first_page_ = false;
  if (!continue_token.empty()) {
    Ask next = list({});
    first_page_ = false;
    next.resource_version.clear();  // the token says it
    next.continue_token = std::move(continue_token);
    return next;
  }
  presence_ = Presence::kInstalled;
  seen_version_ = std::move(resource_version);
  return watch(now, {});
}

Informer::Ask Informer::list_failed(Clock::time_point now, const Failure& failure) {
  note_failure(now, failure);
  if (failure.status == kNotFound) {
    if (!missing_since_) missing_since_ = now;
    if (is_absence_certain(now)) {
      presence_ = Presence::kAbsent;
      seen_version_.clear();
      failing_since_.reset();  // that is no failure
      return list(std::chrono::duration_cast<std::chrono::milliseconds>(kAskAbsentAgain * (1 + random_() / 2)));
    }
    return list(pause(now, failure));
  }
  missing_since_.reset();
  if (is_expired(failure) || is_too_new(failure)) {
    const bool had_version = !std::exchange(seen_version_, {}).empty();
    // Without the version it is another question, that need not wait.
    if (had_version && first_page_) return list({});
  }
  return list(pause(now, failure));
}

void Informer::advanced(std::string resource_version) {
  if (!resource_version.empty()) seen_version_ = std::move(resource_version);
}

Informer::Ask Informer::watch_ended(Clock::time_point now) {
  if (now - asked_at_ < kHastyEnd)
    return watch_failed(now, {.status = 0, .reason = {}, .message = "the watch ended at once", .retry_after = {}});
  failing_since_.reset();
  return watch(now, {});
}

Informer::Ask Informer::watch_failed(Clock::time_point now, const Failure& failure) {
  // Ordinary life: the server forgets old versions. One that has forgotten at once what it listed is not pressed.
  const bool hasty = now - asked_at_ < kHastyEnd;
  if (is_expired(failure)) return list(hasty ? pause(now, failure) : std::chrono::milliseconds(0));
  note_failure(now, failure);
  const auto delay = pause(now, failure);
  // Cut: everything that was seen stands. Anything that the server itself says may mean that it does not.
  return failure.status == 0 ? watch(now, delay) : list(delay);
}

std::chrono::milliseconds Informer::pause(Clock::time_point now, const Failure& failure) {
  const auto own = backoff_.next(now, random_());
  return failure.retry_after ? std::max<std::chrono::milliseconds>(own, *failure.retry_after) : own;
}

void Informer::note_failure(Clock::time_point now, const Failure& failure) {
  if (!failing_since_) failing_since_ = now;
  last_failure_ = describe(failure);
}

bool Informer::is_absence_certain(Clock::time_point now) const {
  return presence_ != Presence::kInstalled || now - *missing_since_ >= kAbsentGrace;
}

}  // namespace leat::sources
