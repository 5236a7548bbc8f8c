// Which Events the cluster shall be told, and when: what stands is said once and again now and then, what happened is
// said once, nothing faster than the limits. Pure: event_writer.h sends.
//
// An Event's name follows from what it says and of whom, so that an agent after this one, or another that leads, says
// it again by the same object: a series, never a second Event.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/event_loop.h"
#include "common/token_bucket.h"

namespace leat::sources {

struct Event {
  struct Regarding {
    std::string api_version, kind, ns, name, uid;
    bool operator==(const Regarding&) const = default;
  };
  Regarding regarding;
  bool warning = true;  // else Normal
  std::string reason;   // CamelCase, for machines
  std::string action;   // what was done about it, likewise
  std::string note;     // for people

  // Of the namespace that the Event belongs into.
  [[nodiscard]] std::string ns() const { return regarding.ns.empty() ? "default" : regarding.ns; }
  [[nodiscard]] std::string object_name() const;
  bool operator==(const Event&) const = default;
};

class EventBook {
 public:
  using Time = EventLoop::Clock::time_point;

  explicit EventBook(Time now);

  // All that stands now, of findings. What is missing that was there before is forgotten.
  void stand(std::vector<Event> events, Time now);
  // It happened now.
  void tell(Event event);

  struct Order {
    std::string name;
    Event event;
    bool once = true;   // it happened; else it stands
    bool fresh = true;  // not written yet, as far as this book knows; else its series goes on
  };
  // What to write now. It is under way until one of the three below is called.
  std::optional<Order> next(Time now);
  void written(const Order& order, Time now);
  void refused(const Order& order, Time now);  // the server will never take it
  void failed(const Order& order);             // nothing is known: it is tried again
  // When next() may have something again, if nothing else is called; nothing: never.
  [[nodiscard]] std::optional<Time> due(Time now) const;
  // Whether something is to be written that is not, be it that the bucket is empty.
  [[nodiscard]] bool owes(Time now) const;
  // Events that are remembered.
  [[nodiscard]] size_t size() const { return standing_.size() + told_.size(); }
  [[nodiscard]] uint64_t dropped() const { return dropped_; }

 private:
  struct Standing {
    Event event;
    bool stands = true;
    std::optional<Time> written;
  };
  [[nodiscard]] static bool is_due(const Standing& one, Time now);

  std::map<std::string, Standing> standing_;  // by the Event's name
  std::deque<Event> told_;
  TokenBucket bucket_;
  std::optional<Time> bucket_at_;  // it was empty then
  uint64_t dropped_ = 0;
};

}  // namespace leat::sources
