#include "agent/sources/kubernetes/event_writer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "agent/sources/kubernetes/limits.h"
#include "common/log.h"

namespace leat::sources {
namespace {

using nlohmann::json;
using Answer = kubernetes::ApiClient::Answer;
using Clock = EventLoop::Clock;

constexpr char kReporter[] = "leat.dev/agent";

json to_json(const Event& event, const std::string& name, const std::string& reporter) {
  const Event::Regarding& about = event.regarding;
  json regarding = {{"apiVersion", about.api_version}, {"kind", about.kind}, {"name", about.name}};
  if (!about.ns.empty()) regarding["namespace"] = about.ns;
  if (!about.uid.empty()) regarding["uid"] = about.uid;
  return {{"apiVersion", "events.k8s.io/v1"},
          {"kind", "Event"},
          {"metadata", {{"name", name}, {"namespace", event.ns()}}},
          {"eventTime", kubernetes::micro_time()},
          {"reportingController", kReporter},
          {"reportingInstance", reporter},
          {"action", event.action},
          {"reason", event.reason},
          {"regarding", std::move(regarding)},
          {"note", event.note},
          {"type", event.warning ? "Warning" : "Normal"}};
}

// An Event says when it was, and when the last of its series was.
std::string last_time(const json& event) {
  for (const char* pointer : {"/series/lastObservedTime", "/eventTime"}) {
    const json time = event.value(json::json_pointer(pointer), json());
    if (time.is_string()) return time.get<std::string>();
  }
  return "";
}

}  // namespace

EventWriter::EventWriter(EventLoop& loop, kubernetes::ApiClient& client, std::string reporter,
                         std::function<double()> random)
    : loop_(loop), client_(client), reporter_(std::move(reporter)), random_(std::move(random)), book_(Clock::now()) {}

void EventWriter::stand(std::vector<Event> events) {
  book_.stand(std::move(events), Clock::now());
  if (!book_.owes(Clock::now())) failure_.clear();  // what could not be said is not so any more
  next();
}

void EventWriter::tell(Event event) {
  book_.tell(std::move(event));
  next();
}

void EventWriter::next() {
  if (busy_ || waits_) return;
  if (std::exchange(told_dropped_, book_.dropped()) == 0 && book_.dropped() > 0)
    log::warn("more is to be said than Events may be written; some are left out (the agent's log has all)");
  const auto now = Clock::now();
  if (const auto order = book_.next(now)) {
    busy_ = true;
    return order->fresh ? create(*order) : go_on(*order);
  }
  if (const auto due = book_.due(now))
    next_after(std::max(std::chrono::ceil<std::chrono::milliseconds>(*due - now), std::chrono::milliseconds(1)));
}

void EventWriter::next_after(std::chrono::milliseconds pause) {
  loop_.cancel(timer_);
  timer_ = loop_.after(pause, [this] {
    timer_ = 0;
    waits_ = false;
    next();
  });
}

std::string EventWriter::collection(const Order& order) {
  return fmt::format("/apis/events.k8s.io/v1/namespaces/{}/events", order.event.ns());
}

void EventWriter::create(const Order& order) {
  kubernetes::ask(
      client_,
      {.method = "POST",
       .path = collection(order),
       .content_type = "application/json",
       .body = to_json(order.event, order.name, reporter_).dump(-1, ' ', false, json::error_handler_t::replace),
       .deadline = limits::kWriteDeadline},
      [this, order](const Result<Answer>& answer) {
        if (answer) return done(order);
        if (answer.error().code == ErrorCode::kConflict) return go_on(order);
        failed(order, answer.error());
      });
}

void EventWriter::go_on(const Order& order) {
  kubernetes::ask(client_,
                  {.path = collection(order) + "/" + order.name,
                   .content_type = {},
                   .body = {},
                   .deadline = limits::kWriteDeadline},
                  [this, order](const Result<Answer>& answer) {
                    if (!answer && answer.error().code == ErrorCode::kNotFound) {
                      // The API server has forgotten it. One that was there a moment ago is tried again later.
                      return order.fresh ? failed(order, {ErrorCode::kTimeout, 0, answer.error().message})
                                         : create(order);
                    }
                    if (!answer) return failed(order, answer.error());
                    const json event = json::parse(answer->body, nullptr, false);
                    if (!event.is_object())
                      return failed(order, {ErrorCode::kProtocol, 0, "the Event is no JSON object"});
                    // What stands was said already, by another agent or by this one in a former life.
                    const std::string recent = kubernetes::micro_time(-limits::kEventRefresh);
                    if (order.fresh && !order.once && last_time(event) > recent) return done(order);
                    const json count = event.value(json::json_pointer("/series/count"), json());
                    add_to_series(order, count.is_number_integer() ? count.get<int64_t>() + 1 : 2);
                  });
}

void EventWriter::add_to_series(const Order& order, int64_t count) {
  const json series = {{"series", {{"count", count}, {"lastObservedTime", kubernetes::micro_time()}}}};
  kubernetes::ask(client_,
                  {.method = "PATCH",
                   .path = collection(order) + "/" + order.name,
                   .content_type = "application/merge-patch+json",
                   .body = series.dump(),
                   .deadline = limits::kWriteDeadline},
                  [this, order](const Result<Answer>& answer) {
                    if (!answer) return failed(order, answer.error());
                    done(order);
                  });
}

void EventWriter::done(const Order& order) {
  busy_ = false;
  failure_.clear();
  book_.written(order, Clock::now());
  next();
}

void EventWriter::failed(const Order& order, const Error& error) {
  busy_ = false;
  const bool ends = error.message.find("being terminated") != std::string::npos;  // its namespace
  if (ends || error.code == ErrorCode::kInvalid || error.code == ErrorCode::kNotFound) {
    if (error.code == ErrorCode::kInvalid)
      log::warn("the API server does not take an Event about {} {}: {}", order.event.regarding.kind,
                order.event.regarding.name, error.message);
    book_.refused(order, Clock::now());
    return next();
  }
  failure_ = error.message;
  book_.failed(order);
  waits_ = true;
  next_after(backoff_.next(kubernetes::Backoff::Clock::now(), random_()));
}

}  // namespace leat::sources
