#include "agent/sources/kubernetes/event_book.h"

#include <doctest/doctest.h>

#include "agent/sources/kubernetes/finding_events.h"
#include "agent/sources/kubernetes/limits.h"

using namespace leat::sources;
using namespace std::chrono_literals;

namespace {

const EventBook::Time kStart{1'000'000s};

Event event(const std::string& name, const std::string& note = "unknown field, ignored") {
  return {.regarding = {.api_version = "networking.istio.io/v1",
                        .kind = "VirtualService",
                        .ns = "shop",
                        .name = name,
                        .uid = "uid-" + name},
          .reason = "UnsupportedField",
          .action = "Apply",
          .note = note};
}

size_t write_all(EventBook& book, EventBook::Time now) {
  size_t count = 0;
  for (auto order = book.next(now); order; order = book.next(now)) {
    book.written(*order, now);
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("what stands is written once, however often it is said") {
  EventBook book(kStart);
  for (int i = 0; i < 5; ++i) book.stand({event("a"), event("a"), event("b")}, kStart);
  CHECK(write_all(book, kStart) == 2);
  book.stand({event("a"), event("b")}, kStart + 10min);
  CHECK(write_all(book, kStart + 10min) == 0);
}

TEST_CASE("what stands is said again before the API server forgets it, as a series") {
  EventBook book(kStart);
  book.stand({event("a")}, kStart);
  const auto first = book.next(kStart);
  REQUIRE(first);
  CHECK(first->fresh);
  CHECK_FALSE(first->once);
  book.written(*first, kStart);
  CHECK(book.due(kStart) == kStart + limits::kEventRefresh);
  const auto again = book.next(kStart + limits::kEventRefresh);
  REQUIRE(again);
  CHECK_FALSE(again->fresh);
  CHECK(again->name == first->name);
}

TEST_CASE("what is gone is forgotten, and one that comes and goes is not said each time") {
  EventBook book(kStart);
  book.stand({event("a")}, kStart);
  CHECK(write_all(book, kStart) == 1);
  book.stand({}, kStart + 1s);
  book.stand({event("a")}, kStart + 2s);
  CHECK(write_all(book, kStart + 2s) == 0);
  book.stand({}, kStart + 3s);
  book.stand({}, kStart + limits::kEventQuiet + 3s);
  CHECK(book.size() == 0);
  CHECK_FALSE(book.due(kStart + limits::kEventQuiet + 3s));
}

TEST_CASE("what could not be written is owed while it stands, whatever else is remembered") {
  EventBook book(kStart);
  book.stand({event("a")}, kStart);
  CHECK(book.owes(kStart));
  CHECK(write_all(book, kStart) == 1);
  CHECK_FALSE(book.owes(kStart));
  book.stand({event("a"), event("b")}, kStart);
  const auto order = book.next(kStart);
  REQUIRE(order);
  book.failed(*order);
  CHECK(book.owes(kStart));
  book.stand({event("a")}, kStart + 1s);
  CHECK_FALSE(book.owes(kStart + 1s));
  CHECK(book.size() == 1);
}

TEST_CASE("no more are written at once than the burst, and then one a second; none is lost by it") {
  EventBook book(kStart);
  std::vector<Event> many;
  for (int i = 0; i < 200; ++i) many.push_back(event("route-" + std::to_string(i)));
  book.stand(many, kStart);
  const size_t burst = write_all(book, kStart);
  CHECK(burst == static_cast<size_t>(limits::kEventBurst));
  CHECK(book.due(kStart) == kStart + 1s);
  CHECK(write_all(book, kStart + 10s) == 10);
  size_t rest = 0;
  for (int second = 11; second < 200; ++second) rest += write_all(book, kStart + std::chrono::seconds(second));
  CHECK(burst + 10 + rest == 200);
}

TEST_CASE("memory is bounded, and what is left out is counted") {
  EventBook book(kStart);
  std::vector<Event> many;
  for (size_t i = 0; i < limits::kMostEvents + 5; ++i) many.push_back(event("route-" + std::to_string(i)));
  book.stand(many, kStart);
  CHECK(book.size() == limits::kMostEvents);
  CHECK(book.dropped() == 5);
}

TEST_CASE("what happened is written each time that it happens, and what failed is tried again") {
  EventBook book(kStart);
  book.tell(event("pod"));
  const auto order = book.next(kStart);
  REQUIRE(order);
  CHECK(order->once);
  book.failed(*order);
  CHECK(write_all(book, kStart) == 1);
  book.tell(event("pod"));
  CHECK(write_all(book, kStart) == 1);
}

TEST_CASE("one name for what is the same, another for another object or another word") {
  CHECK(event("a").object_name() == event("a").object_name());
  CHECK(event("a").object_name().starts_with("a."));
  CHECK(event("a").object_name() != event("a", "not supported yet; ignored").object_name());
  Event again = event("a");
  again.regarding.uid = "another";
  CHECK(again.object_name() != event("a").object_name());
  CHECK(event(std::string(300, 'x')).object_name().size() <= 253);
}

// ---------------------------------------------------------------- findings -> Events

namespace {

leat::v1::Finding finding(const char* object, const char* field, std::string message,
                          const char* severity = "warning") {
  leat::v1::Finding made;
  made.set_object(object);
  made.set_field(field);
  made.set_message(std::move(message));
  made.set_severity(severity);
  return made;
}

std::vector<Event> events_of(const leat::v1::Finding& of) {
  std::map<leat::control::ObjectKey, ObjectFacts> facts;
  facts[{"VirtualService", {"shop", "backend"}}].uid = "u1";
  facts[{"Mesh", {"", "default"}}].uid = "u2";
  return finding_events({of}, facts, [](std::string_view kind) { return std::string(kind) + "/v1"; });
}

}  // namespace

TEST_CASE("a finding's Event names the object and says the finding's words") {
  const auto events =
      events_of(finding("VirtualService shop/backend", "spec.http[0].corsPolicy", "unknown field, ignored"));
  REQUIRE(events.size() == 1);
  CHECK(events[0].regarding == Event::Regarding{"VirtualService/v1", "VirtualService", "shop", "backend", "u1"});
  CHECK(events[0].reason == "UnsupportedField");
  CHECK(events[0].note == "spec.http[0].corsPolicy: unknown field, ignored");
  CHECK(events[0].warning);
  CHECK(events[0].ns() == "shop");
}

TEST_CASE("a finding about what is not there any more, or of Kubernetes' own kinds, has no Event") {
  CHECK(events_of(finding("VirtualService shop/other", "", "unknown field")).empty());
  CHECK(events_of(finding("Service shop/backend", "spec.selector", "selects no pod that runs")).empty());
  CHECK(events_of(finding("Kubernetes API", "", "can't be read")).empty());
  CHECK(events_of(finding("", "", "can't be read")).empty());
}

TEST_CASE("an object without a namespace has its Events in default") {
  const auto events = events_of(finding("Mesh default", "spec.x", "unknown field, ignored"));
  REQUIRE(events.size() == 1);
  CHECK(events[0].ns() == "default");
}

TEST_CASE("the reason follows from the words") {
  const auto reason = [](const char* message, const char* severity) {
    return reason_of(finding("VirtualService shop/backend", "", message, severity));
  };
  CHECK(reason("has no effect: there is no Service shop/a", "error") == "InvalidReference");
  CHECK(reason("DestinationRule shop/b has no subset 'v3'", "error") == "InvalidReference");
  CHECK(reason("not supported yet; ignored", "warning") == "UnsupportedField");
  CHECK(reason("must be http or https, not 'ftp'; the request's is used", "error") == "InvalidField");
  CHECK(reason("whoever answers is believed to be the server: nothing is verified", "warning") == "NotAsMeant");
}

TEST_CASE("a long note ends at the end of a character within what the API server takes") {
  std::string text;
  while (text.size() < 2000) text += "\u00e9";
  const auto events = events_of(finding("VirtualService shop/backend", "", text));
  REQUIRE(events.size() == 1);
  CHECK(events[0].note.size() <= limits::kNoteBytes);
  CHECK(events[0].note.ends_with("é …"));
}
