// Sends what event_book.h says, one request at a time. An Event that is there already goes on as a series.
#pragma once

#include <functional>
#include <string>

#include "agent/sources/kubernetes/event_book.h"
#include "common/kubernetes/ask.h"
#include "common/kubernetes/backoff.h"

namespace leat::sources {

class EventWriter {
 public:
  // `reporter`: this program's name among its like, the node's.
  EventWriter(EventLoop& loop, kubernetes::ApiClient& client, std::string reporter, std::function<double()> random);
  ~EventWriter() { loop_.cancel(timer_); }

  // As EventBook has them.
  void stand(std::vector<Event> events);
  void tell(Event event);
  // Why the last write failed; empty: it did not.
  [[nodiscard]] const std::string& failure() const { return failure_; }

 private:
  using Order = EventBook::Order;
  void next();
  void create(const Order& order);
  void go_on(const Order& order);
  void add_to_series(const Order& order, int64_t count);
  void done(const Order& order);
  void failed(const Order& order, const Error& error);
  void next_after(std::chrono::milliseconds pause);
  [[nodiscard]] static std::string collection(const Order& order);

  EventLoop& loop_;
  kubernetes::ApiClient& client_;
  std::string reporter_;
  std::function<double()> random_;
  EventBook book_;
  kubernetes::Backoff backoff_;
  bool busy_ = false;
  bool waits_ = false;  // after a failure
  uint64_t told_dropped_ = 0;
  std::string failure_;
  EventLoop::TimerId timer_ = 0;
};

}  // namespace leat::sources
