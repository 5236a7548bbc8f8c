#include "agent/source_ids.h"

#include <doctest/doctest.h>

#include "agent/limits.h"

using leat::IpAddress;
using leat::agent::SourceIds;
using leat::control::AliasBook;

namespace {
const IpAddress kClient = *IpAddress::parse("10.9.0.4");
}

TEST_CASE("an address keeps its id while any flow of any proxy shows it") {
  AliasBook book;
  SourceIds ids(book);
  const uint32_t id = *ids.lease("i", "pod", kClient);
  CHECK(*ids.lease("i", "pod", kClient) == id);
  CHECK(*ids.lease("j", "pod", kClient) == id);
  CHECK(ids.release("i", id));
  CHECK(ids.leased().size() == 1);
  CHECK(ids.release("i", id));
  CHECK_FALSE(ids.release("i", id));
  CHECK(ids.leased().size() == 1);
  ids.release_all("j");
  CHECK(ids.leased().empty());
  CHECK(book.retired().size() == 1);
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
  REQUIRE(loaded.load(ids.save()));
  CHECK(loaded.leased() == ids.leased());
  CHECK(loaded.instances() == std::set<std::string>{"i"});
  CHECK(loaded.release("i", id));
}

TEST_CASE("a saved line that is none is refused by name") {
  AliasBook book;
  SourceIds ids(book);
  for (const char* text : {"x", "i pod", "i pod 10.0.0", "10.0.0.1"}) CHECK_FALSE(ids.load(text));
}
