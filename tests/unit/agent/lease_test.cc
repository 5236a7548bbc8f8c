#include "agent/lease.h"

#include <algorithm>
#include <functional>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include "agent/limits.h"

using leat::agent::ConnectionId;
using leat::agent::LeaseAction;
using leat::agent::LeaseBook;
using Kind = LeaseAction::Kind;
using Actions = LeaseBook::Actions;
namespace limits = leat::agent::limits;

namespace {
const LeaseBook::Time kStart{};
LeaseBook fresh() { return LeaseBook(0, "", false, kStart); }
Actions one(Kind kind, ConnectionId connection, uint64_t epoch) { return {{kind, connection, epoch}}; }
}  // namespace

TEST_CASE("the first proxy is granted the lease at once") {
  auto book = fresh();
  CHECK(book.hello(1, "a", 0, kStart) == one(Kind::kGrant, 1, 1));
  CHECK(book.armed() == 1);
  CHECK_FALSE(book.next_deadline());
}

TEST_CASE("a new proxy is granted the lease only after the old one was asked to disarm and has confirmed") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  CHECK(book.hello(2, "b", 0, kStart).empty());  // not ready: the old one serves on
  CHECK(book.armed() == 1);
  CHECK(book.ready(2, kStart) == one(Kind::kRevoke, 1, 1));
  CHECK_FALSE(book.armed());
  CHECK(book.revoked(1, 1, kStart) == one(Kind::kGrant, 2, 2));
  CHECK(book.armed() == 2);
}

TEST_CASE("a candidate that never says that it is ready is taken as ready after the warm-up") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  book.hello(2, "b", 0, kStart);
  REQUIRE(book.next_deadline() == kStart + limits::kWarmUpDeadline);
  CHECK(book.tick(kStart + limits::kWarmUpDeadline) == one(Kind::kRevoke, 1, 1));
}

TEST_CASE("a proxy that does not confirm is ended, and only its exit lets the new one in") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  book.hello(2, "b", 0, kStart);
  book.ready(2, kStart);
  const auto late = kStart + limits::kRevokeDeadline;
  REQUIRE(book.next_deadline() == late);
  CHECK(book.tick(late) == one(Kind::kEnd, 1, 1));
  CHECK_FALSE(book.next_deadline());
  CHECK(book.disconnected(1, late).empty());
  CHECK(book.exited(1, late) == one(Kind::kGrant, 2, 2));
}

TEST_CASE("a holder that crashes is followed at once by the one that waits") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  book.hello(2, "b", 0, kStart);
  CHECK(book.disconnected(1, kStart).empty());
  CHECK(book.exited(1, kStart) == one(Kind::kGrant, 2, 2));
}

TEST_CASE("a holder that only lost its connection keeps the lease when it returns") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  CHECK(book.disconnected(1, kStart).empty());
  CHECK_FALSE(book.armed());
  CHECK(book.hello(2, "a", 1, kStart) == one(Kind::kGrant, 2, 1));
  CHECK(book.armed() == 2);
  // The exit notice of the first connection is of the same process and comes with that of the second.
  CHECK(book.exited(1, kStart).empty());
  CHECK(book.armed() == 2);
}

TEST_CASE("a living holder without a connection is ended only when another has waited too long") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  book.disconnected(1, kStart);
  CHECK_FALSE(book.next_deadline());
  const auto later = kStart + 10 * limits::kRevokeDeadline;
  CHECK(book.hello(2, "b", 0, later) == one(Kind::kEnd, 1, 1));
  CHECK(book.exited(1, later) == one(Kind::kGrant, 2, 2));
}

TEST_CASE("after a restart the former holder keeps its epoch, and a stranger waits for it") {
  LeaseBook book(7, "a", true, kStart);
  CHECK(book.hello(1, "b", 0, kStart).empty());
  CHECK(book.hello(2, "a", 7, kStart) == one(Kind::kGrant, 2, 7));
  CHECK(book.armed() == 2);
}

TEST_CASE("after a restart a former holder that does not come back is ended, and only its exit lets the next one in") {
  LeaseBook book(7, "a", true, kStart);
  CHECK(book.hello(1, "b", 0, kStart).empty());
  CHECK(book.ready(1, kStart).empty());
  const auto late = kStart + limits::kAdoptDeadline;
  REQUIRE(book.next_deadline() == late);
  CHECK(book.tick(late) == one(Kind::kEnd, LeaseBook::kFormerConnection, 7));
  CHECK(book.exited(LeaseBook::kFormerConnection, late) == one(Kind::kGrant, 1, 8));
}

TEST_CASE("after a restart the next one need not wait for a former holder whose process ends") {
  LeaseBook book(7, "a", true, kStart);
  CHECK(book.hello(1, "b", 0, kStart).empty());
  CHECK(book.exited(LeaseBook::kFormerConnection, kStart) == one(Kind::kGrant, 1, 8));
}

TEST_CASE("after a restart a former holder out of reach gives way after the deadline") {
  LeaseBook book(7, "a", false, kStart);
  CHECK(book.hello(1, "b", 0, kStart).empty());
  CHECK(book.tick(kStart + limits::kAdoptDeadline) == one(Kind::kGrant, 1, 8));
}

TEST_CASE(
    "with no memory of its own the agent takes over the highest epoch that a proxy shows, and revokes lower ones") {
  auto book = fresh();
  CHECK(book.hello(1, "a", 5, kStart) == one(Kind::kGrant, 1, 5));
  CHECK(book.hello(2, "old", 4, kStart) == one(Kind::kRevoke, 2, 4));
  CHECK(book.revoked(2, 4, kStart).empty());
  CHECK(book.armed() == 1);
}

TEST_CASE(
    "of several that wait the newest gets the lease, and an older one does not take it back while the newest lives") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  book.hello(2, "b", 0, kStart);
  book.hello(3, "c", 0, kStart);
  CHECK(book.ready(3, kStart) == one(Kind::kRevoke, 1, 1));
  CHECK(book.revoked(1, 1, kStart) == one(Kind::kGrant, 3, 2));
  CHECK(book.ready(2, kStart).empty());
  CHECK(book.exited(3, kStart) == one(Kind::kGrant, 2, 3));
}

TEST_CASE("a holder that gives its lease back unasked is no longer armed, and the next one is") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  CHECK(book.revoked(1, 1, kStart).empty());
  CHECK(book.armed() == std::nullopt);
  CHECK(book.hello(2, "b", 0, kStart) == one(Kind::kGrant, 2, 2));
}

TEST_CASE("a confirmation for another epoch, or from a proxy that is not the holder, changes nothing") {
  auto book = fresh();
  book.hello(1, "a", 0, kStart);
  book.hello(2, "b", 0, kStart);
  book.ready(2, kStart);
  CHECK(book.revoked(2, 1, kStart).empty());
  CHECK(book.revoked(1, 99, kStart).empty());
  CHECK(book.armed() == std::nullopt);
}

// A model of the proxies themselves: each is armed from its grant until it confirms a revocation or its process is
// gone, whatever happens to its connection. In any order of events no two of them are armed at once, and in the end
// somebody is.
TEST_CASE("no order of events arms two proxies, and none leaves the node without one") {
  struct Proxy {
    std::string instance;
    bool armed = false;
    bool hangs = false;
    uint64_t epoch = 0;
    std::vector<ConnectionId> connections;  // all of its life
    bool connected = false;
  };
  for (uint32_t seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    auto book = fresh();
    auto now = kStart;
    std::vector<Proxy> proxies;
    ConnectionId next_connection = 1;
    const auto owner = [&](ConnectionId connection) -> Proxy* {
      for (Proxy& proxy : proxies) {
        if (std::ranges::find(proxy.connections, connection) != proxy.connections.end()) return &proxy;
      }
      return nullptr;
    };
    std::function<void(const Actions&)> perform;
    const auto exit_of = [&](Proxy proxy) {
      std::erase_if(proxies, [&](const Proxy& other) { return other.instance == proxy.instance; });
      for (const ConnectionId connection : proxy.connections) perform(book.exited(connection, now));
    };
    perform = [&](const Actions& actions) {
      for (const LeaseAction& action : actions) {
        Proxy* proxy = owner(action.connection);
        if (proxy == nullptr) continue;
        switch (action.kind) {
          case Kind::kGrant:
            for (const Proxy& other : proxies) REQUIRE((!other.armed || other.instance == proxy->instance));
            proxy->armed = true;
            proxy->epoch = action.epoch;
            break;
          case Kind::kRevoke:
            if (proxy->hangs) break;
            proxy->armed = false;
            perform(book.revoked(action.connection, action.epoch, now));
            break;
          case Kind::kEnd:
            exit_of(*proxy);
            break;
        }
      }
    };
    const auto connect = [&](Proxy& proxy) {
      proxy.connected = true;
      proxy.connections.push_back(next_connection);
      perform(book.hello(next_connection++, proxy.instance, proxy.epoch, now));
    };
    for (int step = 0; step < 60; ++step) {
      now += std::chrono::milliseconds(random() % 800);
      perform(book.tick(now));
      const auto pick = [&]() -> Proxy* { return proxies.empty() ? nullptr : &proxies[random() % proxies.size()]; };
      switch (random() % 7) {
        case 0:
          if (proxies.size() >= 4) break;
          proxies.reserve(8);  // connect() holds a reference while actions run
          proxies.push_back({.instance = std::to_string(random())});
          connect(proxies.back());
          break;
        case 1:
          if (Proxy* proxy = pick(); proxy && proxy->connected) perform(book.ready(proxy->connections.back(), now));
          break;
        case 2:
          if (Proxy* proxy = pick(); proxy && proxy->connected) {
            proxy->connected = false;
            perform(book.disconnected(proxy->connections.back(), now));
          }
          break;
        case 3:
          if (Proxy* proxy = pick(); proxy && !proxy->connected) connect(*proxy);
          break;
        case 4:
          if (Proxy* proxy = pick()) exit_of(*proxy);
          break;
        case 5:
          if (Proxy* proxy = pick()) proxy->hangs = true;
          break;
        default:
          break;
      }
    }
    // Quiet: one more proxy comes; deadlines pass.
    proxies.reserve(8);
    proxies.push_back({.instance = "last"});
    connect(proxies.back());
    for (int i = 0; i < 4; ++i) perform(book.tick(now += limits::kRevokeDeadline));
    CHECK(std::ranges::count_if(proxies, &Proxy::armed) == 1);
    REQUIRE(book.armed());
    CHECK(owner(*book.armed())->instance == "last");
  }
}
