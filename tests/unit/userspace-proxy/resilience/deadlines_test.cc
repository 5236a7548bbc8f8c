#include "userspace-proxy/resilience/deadlines.h"

#include <doctest/doctest.h>

namespace leat::proxy {
namespace {

using namespace std::chrono_literals;
constexpr Clock::time_point kStart{1h};

}  // namespace

TEST_CASE("without a bound nothing is ever late") {
  Deadlines deadlines;
  deadlines.limit_request(0ms);
  deadlines.limit_try(0ms);
  deadlines.request_is_whole(kStart);
  CHECK_FALSE(deadlines.any());
  CHECK(deadlines.next() == Deadlines::kNever);
}

TEST_CASE("time counts from when the request is whole") {
  Deadlines deadlines;
  deadlines.limit_request(5s);
  deadlines.limit_try(1s);
  deadlines.begin_try(kStart);
  CHECK(deadlines.any());
  CHECK(deadlines.next() == Deadlines::kNever);
  deadlines.request_is_whole(kStart + 60s);
  CHECK(deadlines.next() == kStart + 61s);
  CHECK(deadlines.request() == kStart + 65s);
}

TEST_CASE("each try has its own time, and all of them the request's") {
  Deadlines deadlines;
  deadlines.limit_request(5s);
  deadlines.limit_try(2s);
  deadlines.request_is_whole(kStart);
  CHECK(deadlines.next() == kStart + 2s);
  deadlines.begin_try(kStart + 2s);
  CHECK(deadlines.next() == kStart + 4s);
  deadlines.begin_try(kStart + 4s);
  CHECK(deadlines.next() == kStart + 5s);
}

TEST_CASE("a response that has begun has the request's time") {
  Deadlines deadlines;
  deadlines.limit_request(5s);
  deadlines.limit_try(1s);
  deadlines.request_is_whole(kStart);
  deadlines.response_has_begun();
  CHECK(deadlines.next() == kStart + 5s);
}

TEST_CASE("of two bounds the smaller holds") {
  for (const auto& [first, second] : {std::pair{5s, 3s}, {3s, 5s}, {0s, 3s}, {3s, 0s}}) {
    Deadlines deadlines;
    deadlines.limit_request(first);
    deadlines.limit_request(second);
    deadlines.request_is_whole(kStart);
    CHECK(deadlines.next() == kStart + 3s);
  }
}

TEST_CASE("a response that began before its request was whole has no bound of a try; the next try has it again") {
  Deadlines deadlines;
  deadlines.limit_try(2s);
  deadlines.begin_try(kStart);
  deadlines.response_has_begun();
  deadlines.request_is_whole(kStart + 1s);
  CHECK(deadlines.next() == Deadlines::kNever);
  deadlines.begin_try(kStart + 1s);
  CHECK(deadlines.next() == kStart + 3s);
}

}  // namespace leat::proxy
