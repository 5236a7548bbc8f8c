#include "ca/roots.h"

#include <doctest/doctest.h>

#include "ca/issuer.h"

using leat::ca::advance;
using leat::ca::certificates_from_pem;
using leat::ca::first_roots;
using leat::ca::RootSet;
using leat::ca::RotationTimes;
using namespace std::chrono_literals;

namespace {

constexpr char kDomain[] = "cluster.local";
const RotationTimes kTimes{};
const RootSet::Time kNow = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());

std::optional<RootSet> next(const RootSet& roots, const char* order, RootSet::Time now) {
  const auto step = advance(roots, kDomain, kTimes, order, now);
  REQUIRE(step);
  return *step ? std::optional((*step)->roots) : std::nullopt;
}

size_t trusted(const RootSet& roots) { return certificates_from_pem(roots.bundle())->size(); }

}  // namespace

TEST_CASE(
    "a rotation publishes the next root, then signs with it, then forgets the former, and at each step whoever signed "
    "is trusted") {
  const RootSet first = *first_roots(kDomain, kTimes, kNow);
  CHECK(trusted(first) == 1);
  CHECK_FALSE(next(first, "", kNow + 24h));

  const auto published = next(first, "drill-1", kNow);
  REQUIRE(published);
  CHECK(published->current == first.current);
  CHECK(trusted(*published) == 2);
  CHECK_FALSE(next(*published, "drill-1", kNow + 59min));

  const auto switched = next(*published, "drill-1", kNow + 1h);
  REQUIRE(switched);
  CHECK(switched->current == *published->next);
  CHECK(switched->former_pem == first.current.certificate_pem);
  CHECK(trusted(*switched) == 2);
  CHECK_FALSE(next(*switched, "drill-1", kNow + 1h + 24h));

  const auto ended = next(*switched, "drill-1", kNow + 1h + 25h);
  REQUIRE(ended);
  CHECK(trusted(*ended) == 1);
  CHECK(ended->current == switched->current);
  CHECK_FALSE(next(*ended, "drill-1", kNow + 100h));  // that order was followed
  CHECK(next(*ended, "drill-2", kNow + 100h));
}

TEST_CASE("an order during a rotation waits for its end") {
  const RootSet first = *first_roots(kDomain, kTimes, kNow);
  const auto published = next(first, "one", kNow);
  CHECK_FALSE(next(*published, "two", kNow + 1min));
  const auto ended = next(*next(*published, "two", kNow + 1h), "two", kNow + 48h);
  REQUIRE(ended);
  CHECK(next(*ended, "two", kNow + 48h));
}

TEST_CASE("a root is followed when a fifth of its life is left") {
  const RootSet first = *first_roots(kDomain, kTimes, kNow);
  const auto life = kTimes.root_lifetime;
  CHECK_FALSE(next(first, "", kNow + life * 4 / 5 - 1h));
  CHECK(next(first, "", kNow + life * 4 / 5 + 1h));
}

TEST_CASE("what is written into the Secret is read back the same, at each step") {
  RootSet roots = *first_roots(kDomain, kTimes, kNow);
  CHECK(*RootSet::read(roots.fields()) == roots);
  roots = *next(roots, "drill", kNow);
  CHECK(*RootSet::read(roots.fields()) == roots);
  roots = *next(roots, "drill", kNow + 1h);
  CHECK(*RootSet::read(roots.fields()) == roots);
}

TEST_CASE("a Secret that somebody broke is refused with the field that is wrong") {
  const auto fields = next(*first_roots(kDomain, kTimes, kNow), "drill", kNow)->fields();
  for (const char* field : {"ca.key", "ca.crt", "next.key", "next.crt", "changed"}) {
    auto broken = fields;
    broken[field] = "garbage";
    const auto read = RootSet::read(broken);
    REQUIRE_FALSE(read);
    CHECK(read.error().message.find(field) != std::string::npos);
    broken.erase(field);
    CHECK_FALSE(RootSet::read(broken));
  }
  auto mixed = fields;
  mixed["ca.key"] = fields.at("next.key");
  CHECK_FALSE(RootSet::read(mixed));
}
