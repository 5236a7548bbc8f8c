#include "common/kubernetes/lease_book.h"

#include <doctest/doctest.h>

using leat::kubernetes::LeaseBook;
using Move = LeaseBook::Move;
using namespace std::chrono_literals;

namespace {
constexpr LeaseBook::Clock::time_point kStart{1'000s};
LeaseBook::Lease lease(const char* holder, const char* version) {
  return {.holder = holder, .version = version, .duration = 15s};
}
}  // namespace

TEST_CASE("who finds no lease or nobody's takes it, and who has it renews it") {
  LeaseBook book("a");
  CHECK(book.decide(std::nullopt, kStart) == Move::kCreate);
  CHECK(book.decide(lease("", "1"), kStart) == Move::kTake);
  CHECK(book.decide(lease("a", "2"), kStart) == Move::kRenew);
}

TEST_CASE("another's lease is taken only when it was not renewed for its duration by this clock") {
  LeaseBook book("a");
  CHECK(book.decide(lease("b", "1"), kStart) == Move::kFollow);
  CHECK(book.decide(lease("b", "1"), kStart + 15s) == Move::kFollow);
  CHECK(book.decide(lease("b", "2"), kStart + 15s) == Move::kFollow);  // renewed
  CHECK(book.decide(lease("b", "2"), kStart + 30s) == Move::kFollow);
  CHECK(book.decide(lease("b", "2"), kStart + 31s) == Move::kTake);
}

TEST_CASE("leadership is believed for less than others wait") {
  LeaseBook book("a");
  CHECK_FALSE(book.leads(kStart));
  book.held(kStart, 15s);
  CHECK(book.leads(kStart + 9s));
  CHECK_FALSE(book.leads(kStart + 10s));
  book.held(kStart, 15s);
  book.lost();
  CHECK_FALSE(book.leads(kStart));
}
