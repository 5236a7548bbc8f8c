#include "agent/source_ids.h"

#include <doctest/doctest.h>

#include "agent/limits.h"

using leat::IpAddress;
using leat::agent::SourceIds;
using leat::control::AliasBook;

namespace {
const IpAddress kClient = *IpAddress::parse("10.9.0.4");
const SourceIds::Time kDeadline{std::chrono::seconds(30)};
}  // namespace

TEST_CASE("an address keeps its id while any proxy uses it") {
  AliasBook book;
  SourceIds ids(book);
  const uint32_t id = *ids.lease("i", "pod", kClient);
  CHECK(*ids.lease("j", "pod", kClient) == id);
  CHECK(ids.release("i", id));
  CHECK_FALSE(ids.release("i", id));
  CHECK(ids.leased().size() == 1);
  ids.release_all("j");
  CHECK(ids.leased().empty());
  CHECK(book.retired().size() == 1);
}

TEST_CASE("an id that a proxy asks for again, as after a reconnect, is given back once") {
  AliasBook book;
  SourceIds ids(book);
  const uint32_t id = *ids.lease("i", "pod", kClient);
  CHECK(*ids.lease("i", "pod", kClient) == id);
  CHECK(ids.release("i", id));
  CHECK(ids.leased().empty());
}

TEST_CASE("a proxy that connects anew keeps the ids that it asks for again, and no others") {
  AliasBook book;
  SourceIds ids(book);
  const IpAddress forgotten = *IpAddress::parse("10.9.0.5");
  REQUIRE(ids.lease("i", "pod", kClient));
  REQUIRE(ids.lease("i", "pod", forgotten));
  REQUIRE(ids.lease("j", "pod", forgotten));
  ids.claim_anew("i", kDeadline);
  REQUIRE(ids.lease("i", "pod", kClient));
  CHECK(ids.release_unclaimed(kDeadline - std::chrono::milliseconds(1)));
  CHECK(ids.save() == "i pod 10.9.0.4\ni pod 10.9.0.5\nj pod 10.9.0.5\n");
  CHECK_FALSE(ids.release_unclaimed(kDeadline));
  CHECK(ids.save() == "i pod 10.9.0.4\nj pod 10.9.0.5\n");
}

TEST_CASE("an id that another proxy has can't be given back") {
  AliasBook book;
  SourceIds ids(book);
  const uint32_t id = *ids.lease("i", "pod", kClient);
  CHECK_FALSE(ids.release("j", id));
  CHECK(ids.leased().size() == 1);
}

TEST_CASE("a pod's clients have a quota, which the next one finds free again") {
  AliasBook book;
  SourceIds ids(book);
  uint32_t first = 0;
  for (uint32_t i = 0; i < leat::agent::limits::kMaxSourceIdsAPod; ++i) {
    const auto id = ids.lease("i", "pod", IpAddress::v4(0x0a000000 + i));
    REQUIRE(id);
    if (i == 0) first = *id;
  }
  CHECK(ids.lease("i", "pod", kClient).error().code == leat::ErrorCode::kExhausted);
  CHECK(ids.lease("i", "other", kClient));
  CHECK(ids.release("i", first));
  CHECK(ids.lease("i", "pod", *IpAddress::parse("10.9.0.5")));
}

TEST_CASE("leases outlive a restart with the same ids") {
  AliasBook book;
  SourceIds ids(book);
  REQUIRE(book.hold({*IpAddress::parse("10.0.0.1")}));
  const uint32_t id = *ids.lease("i", "pod", kClient);
  auto loaded_book = AliasBook::load(book.save());
  REQUIRE(loaded_book);
  SourceIds loaded(*loaded_book);
  REQUIRE(loaded.load(ids.save(), kDeadline));
  CHECK(loaded.leased() == ids.leased());
  SUBCASE("until they are given back") { CHECK(loaded.release("i", id)); }
  SUBCASE("until the proxy has had the time to claim them") { loaded.release_unclaimed(kDeadline); }
  CHECK(loaded.leased().empty());
}

TEST_CASE("a saved line that is none is refused by name") {
  AliasBook book;
  SourceIds ids(book);
  for (const char* text : {"x", "i pod", "i pod 10.0.0", "10.0.0.1"}) CHECK_FALSE(ids.load(text, kDeadline));
}
