// How long a client may be silent, and in what.
#include "userspace-proxy/flow/http_connections.h"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <functional>
#include <string_view>

#include "userspace-proxy/ring/loop.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;
using Waits = HttpConnections::Waits;

// A client of pod-1 that says nothing, waited for as `what`. Whether `end` makes it given up.
bool is_given_up_by(Waits what, const std::function<void(HttpConnections&, ring::Clock::time_point)>& end) {
  const auto loop = *ring::Loop::create({.backend = ring::BackendKind::kEpoll});
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd other(ends[1]);
  HttpConnections connections;
  bool overdue = false;
  ring::start([](ring::Loop& on, UniqueFd fd, HttpConnections& all, Waits waits, bool& over) -> ring::Task<void> {
    ring::Socket client(on, std::move(fd));
    HttpConnections::Place place(all, client, "pod-1", on.now());
    place.waits(waits, on.now());
    static_cast<void>(co_await client.recv());
    over = place.overdue();
    on.stop();
  }(*loop, UniqueFd(ends[0]), connections, what, overdue));
  end(connections, loop->now());
  ::shutdown(other.get(), SHUT_WR);  // the end of one that was not given up
  loop->run();
  return overdue;
}

// … when it has been silent so long.
bool is_given_up(Waits what, std::chrono::nanoseconds silent, bool draining = false) {
  return is_given_up_by(what, [&](HttpConnections& connections, ring::Clock::time_point now) {
    if (draining) connections.drain();
    connections.end_overdue(now + silent);
  });
}

// … when that pod leaves.
bool ends_with_its_pod(Waits what, std::string_view pod) {
  return is_given_up_by(what, [&](HttpConnections& connections, auto) { connections.pod_gone(pod); });
}

}  // namespace

TEST_CASE("a request's head has fifteen seconds") {
  CHECK_FALSE(is_given_up(Waits::kForHead, limits::kHeadTime - 1s));
  CHECK(is_given_up(Waits::kForHead, limits::kHeadTime + 1s));
}

TEST_CASE("an idle client has an hour, and half a second where the proxy leaves") {
  CHECK_FALSE(is_given_up(Waits::kForRequest, limits::kClientIdle - 1s));
  CHECK(is_given_up(Waits::kForRequest, limits::kClientIdle + 1s));
  CHECK(is_given_up(Waits::kForRequest, limits::kDrainIdle + 1ms, true));
}

TEST_CASE("when a pod leaves the mesh its idle connections end, and no other pod's") {
  CHECK(ends_with_its_pod(Waits::kForRequest, "pod-1"));
  CHECK_FALSE(ends_with_its_pod(Waits::kForRequest, "pod-2"));
  CHECK_FALSE(ends_with_its_pod(Waits::kForNothing, "pod-1"));  // it ends with the request that it waits for
}

TEST_CASE("a client that waits for us may wait") { CHECK_FALSE(is_given_up(Waits::kForNothing, 100h)); }

}  // namespace leat::proxy
