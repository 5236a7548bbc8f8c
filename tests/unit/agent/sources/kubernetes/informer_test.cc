#include "agent/sources/kubernetes/informer.h"

#include <doctest/doctest.h>

using namespace std::chrono_literals;
using leat::sources::Backoff;
using leat::sources::Informer;
using Ask = Informer::Ask;
using Presence = Informer::Presence;

namespace {

struct Machine {
  Informer::Clock::time_point now{100h};
  double random = 1;
  Informer informer{[this] { return random; }};

  Ask listed(const char* version, const char* token = "") { return informer.listed(now, version, token); }
  Ask list_fails(int status, const char* reason = "", const char* message = "") {
    return informer.list_failed(now, {.status = status, .reason = reason, .message = message, .retry_after = {}});
  }
  Ask watch_fails(int status, const char* reason = "") {
    return informer.watch_failed(now, {.status = status, .reason = reason, .message = "", .retry_after = {}});
  }
};

bool lists(const Ask& ask) { return ask.what == Ask::What::kList; }
bool watches(const Ask& ask) { return ask.what == Ask::What::kWatch; }

}  // namespace

TEST_CASE("the first list asks for the newest objects, page by page, and the watch begins where it ended") {
  Machine machine;
  const Ask first = machine.informer.start();
  CHECK(lists(first));
  CHECK(first.resource_version.empty());
  CHECK(first.delay == 0ms);
  CHECK(machine.informer.first_page());

  const Ask second = machine.listed("7", "page-2");
  CHECK(lists(second));
  CHECK(second.continue_token == "page-2");
  CHECK(second.resource_version.empty());  // the token says it: the server refuses both
  CHECK_FALSE(machine.informer.first_page());
  CHECK(machine.informer.presence() == Presence::kUnknown);

  const Ask watch = machine.listed("7");
  CHECK(watches(watch));
  CHECK(watch.resource_version == "7");
  CHECK(machine.informer.presence() == Presence::kInstalled);
}

TEST_CASE("watches last 300 to 600 s, so that a thousand agents do not come back at once") {
  Machine machine;
  machine.random = 0;
  CHECK(machine.listed("1").duration == 300s);
  machine.random = 1;
  CHECK(machine.listed("1").duration == 600s);
}

TEST_CASE("a watch that ends in order goes on from the newest event, bookmarks included") {
  Machine machine;
  machine.listed("7");
  machine.informer.advanced("9");
  machine.informer.advanced("");  // an object without a version changes nothing
  machine.now += 400s;
  const Ask next = machine.informer.watch_ended(machine.now);
  CHECK(watches(next));
  CHECK(next.resource_version == "9");
  CHECK(next.delay == 0ms);
  CHECK_FALSE(machine.informer.failing_since());
}

TEST_CASE("a server that ends each watch at once is not asked again without a pause") {
  Machine machine;
  machine.listed("7");
  machine.now += 100ms;
  const Ask next = machine.informer.watch_ended(machine.now);
  CHECK(watches(next));
  CHECK(next.delay == Backoff::kFirst);
}

TEST_CASE("a watch that is cut goes on from where it was, after a back-off") {
  Machine machine;
  machine.listed("7");
  machine.informer.advanced("8");
  machine.now += 10s;
  const Ask next = machine.watch_fails(0);
  CHECK(watches(next));
  CHECK(next.resource_version == "8");
  CHECK(next.delay == Backoff::kFirst);
  CHECK(machine.informer.failing_since() == machine.now);
  machine.informer.watch_began();
  CHECK_FALSE(machine.informer.failing_since());
}

TEST_CASE("an expired version makes a new list, not older than what was seen, at once") {
  for (const auto& [status, reason] : {std::pair(410, ""), std::pair(410, "Expired"), std::pair(500, "Expired")}) {
    CAPTURE(status);
    Machine machine;
    machine.listed("7");
    machine.informer.advanced("8");
    machine.now += 10s;
    const Ask list = machine.watch_fails(status, reason);
    CHECK(lists(list));
    CHECK(list.resource_version == "8");
    CHECK(list.delay == 0ms);
    CHECK(machine.informer.first_page());
    CHECK_FALSE(machine.informer.failing_since());  // that is no failure
  }
}

TEST_CASE("a server that forgets at once what it has listed is not pressed") {
  Machine machine;
  machine.listed("7");
  machine.now += 10ms;
  CHECK(machine.watch_fails(410).delay == Backoff::kFirst);
}

TEST_CASE("a list for whose version the server is too old, or too young, is asked for anew with any version") {
  Machine machine;
  machine.listed("7");
  SUBCASE("expired") {
    machine.now += 10s;
    machine.watch_fails(410);
    const Ask list = machine.list_fails(410, "Expired");
    CHECK(list.resource_version.empty());
    CHECK(list.delay == 0ms);
  }
  SUBCASE("from a backup") {
    machine.now += 10s;
    machine.watch_fails(410);
    const Ask list = machine.list_fails(504, "Timeout", "Too large resource version: 7, current: 3");
    CHECK(list.resource_version.empty());
    CHECK(list.delay == 0ms);
    CHECK(machine.list_fails(504, "Timeout", "Too large resource version: 7").delay > 0ms);  // never in a tight loop
  }
}

TEST_CASE("a token that expires between two pages begins the list from its first page") {
  Machine machine;
  machine.listed("7", "page-2");
  const Ask again = machine.list_fails(410, "Expired");
  CHECK(lists(again));
  CHECK(again.continue_token.empty());
  CHECK(machine.informer.first_page());
  CHECK(again.delay > 0ms);  // a server that always forgets is not asked in a tight loop
}

TEST_CASE("any other error in the stream is followed by a list, after a back-off") {
  Machine machine;
  machine.listed("7");
  machine.now += 10s;
  const Ask list = machine.watch_fails(500, "InternalError");
  CHECK(lists(list));
  CHECK(list.resource_version == "7");
  CHECK(list.delay == Backoff::kFirst);
}

TEST_CASE("failures double the wait up to 30 s, with full jitter; two good minutes begin anew") {
  Machine machine;
  CHECK(machine.list_fails(0).delay == 800ms);
  CHECK(machine.list_fails(0).delay == 1600ms);
  machine.random = 0.5;
  CHECK(machine.list_fails(503).delay == 1600ms);
  machine.random = 1;
  for (int i = 0; i < 10; ++i) machine.list_fails(0);
  CHECK(machine.list_fails(0).delay == 30s);
  machine.now += 121s;
  CHECK(machine.list_fails(0).delay == 800ms);
}

TEST_CASE("what the server asks to wait is waited") {
  Machine machine;
  const Ask ask =
      machine.informer.list_failed(machine.now, {.status = 429, .reason = "", .message = "", .retry_after = 17s});
  CHECK(ask.delay == 17s);
}

TEST_CASE("a kind that is not installed is asked for slowly, and is there once it is listed") {
  Machine machine;
  machine.random = 0;
  const Ask later = machine.list_fails(404);
  CHECK(machine.informer.presence() == Presence::kAbsent);
  CHECK(later.delay == 30s);
  machine.random = 1;
  CHECK(machine.list_fails(404).delay == 45s);
  CHECK_FALSE(machine.informer.failing_since());
  CHECK(watches(machine.listed("3")));
  CHECK(machine.informer.presence() == Presence::kInstalled);
}

TEST_CASE("a kind that seems gone keeps its objects for 30 s: a server that starts does not know it yet") {
  Machine machine;
  machine.listed("7");
  machine.now += 10s;
  machine.watch_fails(404);
  CHECK(machine.list_fails(404).delay <= 1600ms);
  CHECK(machine.informer.presence() == Presence::kInstalled);
  machine.now += 29s;
  machine.list_fails(404);
  CHECK(machine.informer.presence() == Presence::kInstalled);
  machine.now += 2s;
  machine.list_fails(404);
  CHECK(machine.informer.presence() == Presence::kAbsent);
}

TEST_CASE("a refusal is no absence: the objects are waited for") {
  Machine machine;
  for (const int status : {401, 403, 500, 0}) machine.list_fails(status);
  CHECK(machine.informer.presence() == Presence::kUnknown);
  CHECK(machine.informer.failing_since() == machine.now);
}
