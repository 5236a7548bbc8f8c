#include "agent/sources/kubernetes/event_book.h"

#include <algorithm>
#include <set>
#include <utility>

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include "agent/sources/kubernetes/limits.h"

namespace leat::sources {
namespace {

constexpr size_t kLongestName = 253, kHashDigits = 16;
constexpr std::chrono::milliseconds kToken{
    static_cast<int64_t>(1000 / limits::kEventsASecond)};  // until the bucket has one again

}  // namespace

std::string Event::object_name() const {
  const std::string said =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", regarding.kind, regarding.ns, regarding.name, regarding.uid, reason, note);
  std::string stem = regarding.name.substr(0, kLongestName - kHashDigits - 1);
  while (!stem.empty() && (stem.back() == '.' || stem.back() == '-')) stem.pop_back();
  return fmt::format("{}.{:016x}", stem, XXH3_64bits(said.data(), said.size()));
}

EventBook::EventBook(Time now) : bucket_(limits::kEventsASecond, limits::kEventBurst, now) {}

void EventBook::stand(std::vector<Event> events, Time now) {
  std::set<std::string> names;
  for (Event& event : events) {
    std::string name = event.object_name();
    if (const auto known = standing_.find(name); known != standing_.end()) {
      known->second.stands = true;
    } else if (standing_.size() < limits::kMostEvents) {
      standing_.emplace(name, Standing{.event = std::move(event), .written = {}});
    } else {
      ++dropped_;
      continue;
    }
    names.insert(std::move(name));
  }
  for (auto& [name, one] : standing_) one.stands = names.contains(name);
  std::erase_if(standing_, [now](const auto& entry) {
    const Standing& one = entry.second;
    return !one.stands && (!one.written || now - *one.written >= limits::kEventQuiet);
  });
}

void EventBook::tell(Event event) {
  if (std::ranges::find(told_, event) != told_.end()) return;  // it waits already
  told_.push_back(std::move(event));
  if (told_.size() <= limits::kMostEvents) return;
  told_.pop_front();
  ++dropped_;
}

bool EventBook::is_due(const Standing& one, Time now) {
  return one.stands && (!one.written || now - *one.written >= limits::kEventRefresh);
}

bool EventBook::owes(Time now) const {
  return !told_.empty() || std::ranges::any_of(standing_, [now](const auto& one) { return is_due(one.second, now); });
}

std::optional<EventBook::Order> EventBook::next(Time now) {
  const auto standing = std::ranges::find_if(standing_, [now](const auto& entry) { return is_due(entry.second, now); });
  if (told_.empty() && standing == standing_.end()) return std::nullopt;
  if (!bucket_.take(1, now)) {
    bucket_at_ = now;
    return std::nullopt;
  }
  bucket_at_.reset();
  if (!told_.empty())
    return Order{.name = told_.front().object_name(), .event = told_.front(), .once = true, .fresh = true};
  return Order{.name = standing->first,
               .event = standing->second.event,
               .once = false,
               .fresh = !standing->second.written.has_value()};
}

void EventBook::written(const Order& order, Time now) {
  if (order.once) {
    if (!told_.empty() && told_.front() == order.event) told_.pop_front();
    return;
  }
  if (const auto found = standing_.find(order.name); found != standing_.end()) found->second.written = now;
}

void EventBook::refused(const Order& order, Time now) { written(order, now); }

void EventBook::failed(const Order& order) {
  // Its series may have run out at the server: the next try begins with a new object.
  if (const auto found = standing_.find(order.name); found != standing_.end()) found->second.written.reset();
}

std::optional<EventBook::Time> EventBook::due(Time now) const {
  if (bucket_at_) return *bucket_at_ + kToken;
  if (!told_.empty()) return now;
  std::optional<Time> first;
  for (const auto& [name, one] : standing_) {
    if (!one.stands) continue;
    const Time at = one.written ? *one.written + limits::kEventRefresh : now;
    if (!first || at < *first) first = at;
  }
  return first;
}

}  // namespace leat::sources
