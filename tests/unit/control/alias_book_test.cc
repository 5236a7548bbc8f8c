#include "control/alias_book.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

using leat::IpAddress;
using leat::control::AliasBook;
using leat::control::AliasKey;

namespace {
AliasKey key(uint32_t number, bool remote_only = false) { return {IpAddress::v4(0x0a000000 + number), remote_only}; }
}  // namespace

TEST_CASE("ids ascend, one for an address and one for its remote share") {
  AliasBook book;
  CHECK(*book.hold(key(5)) == 0);
  CHECK(*book.hold(key(3)) == 1);
  CHECK(*book.hold(key(5)) == 0);
  CHECK(*book.hold(key(5, true)) == 2);
  CHECK(book.find(key(3)) == 1);
  CHECK_FALSE(book.find(key(4)));
}

TEST_CASE("an address that comes back finds its id while it is remembered") {
  AliasBook book;
  CHECK(*book.hold(key(1)) == 0);
  book.release(key(1));
  CHECK(book.retired() == std::vector<std::pair<uint32_t, AliasKey>>{{0, key(1)}});
  CHECK(*book.hold(key(2)) == 1);
  CHECK(*book.hold(key(1)) == 0);
  CHECK(book.retired().empty());
}

TEST_CASE("no id is used again before all were used, then the one that rested longest") {
  AliasBook book(4, 0);
  for (uint32_t i = 0; i < 3; ++i) {
    CHECK(*book.hold(key(i)) == i);
    book.release(key(i));
  }
  CHECK(*book.hold(key(10)) == 3);
  CHECK(*book.hold(key(11)) == 0);
  CHECK(*book.hold(key(12)) == 1);
}

TEST_CASE("a full book says so, and takes retired ids before it does") {
  AliasBook book(2, 10);
  CHECK(*book.hold(key(1)) == 0);
  CHECK(*book.hold(key(2)) == 1);
  CHECK(book.hold(key(3)).error().code == leat::ErrorCode::kExhausted);
  book.release(key(2));
  CHECK(*book.hold(key(3)) == 1);
  CHECK_FALSE(book.find(key(2)));
}

TEST_CASE("the version counts new and forgotten entries, and nothing else") {
  AliasBook book(100, 1);
  (void)book.hold(key(1));
  const uint64_t version = book.version();
  (void)book.hold(key(1));
  book.release(key(1));
  book.release(key(1));
  CHECK(book.version() == version);
  (void)book.hold(key(2));
  book.release(key(2));  // key 1 is forgotten: only one retired is kept
  CHECK(book.version() == version + 2);
}

TEST_CASE("a saved book comes back with the same ids, whatever was held") {
  const auto seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937 random(seed);
  AliasBook book(AliasBook::kIds, 20);
  std::multiset<AliasKey> held;
  for (int step = 0; step < 2000; ++step) {
    const AliasKey some = key(random() % 200, random() % 2 == 0);
    if (random() % 2 == 0 && held.contains(some)) {
      book.release(some);
      held.erase(held.find(some));
    } else {
      REQUIRE(book.hold(some));
      held.insert(some);
    }
  }
  auto loaded = AliasBook::load(book.save());
  REQUIRE(loaded);
  CHECK(loaded->save() == book.save());
  for (uint32_t number = 0; number < 200; ++number) {
    CHECK(loaded->find(key(number)) == book.find(key(number)));
    CHECK(loaded->find(key(number, true)) == book.find(key(number, true)));
  }
  // What is new gets an id that the book never gave.
  CHECK(*loaded->hold(key(1000)) == *book.hold(key(1000)));
}

TEST_CASE("a store that was damaged is refused with its line") {
  for (const char* text :
       {"", "leat-aliases 2\n", "leat-aliases 1\n", "leat-aliases 1\nnext x\n", "leat-aliases 1\nnext 1\n1 10.0.0.1\n",
        "leat-aliases 1\nnext 1\n0 10.0.0\n", "leat-aliases 1\nnext 2\n0 10.0.0.1\n0 10.0.0.2\n",
        "leat-aliases 1\nnext 2\n0 10.0.0.1\n1 10.0.0.1\n", "leat-aliases 1\nnext 1\n0 10.0.0.1 x\n",
        "leat-aliases 1\nnext 9999999\n"}) {
    CAPTURE(text);
    CHECK_FALSE(AliasBook::load(text));
  }
  CHECK(AliasBook::load("leat-aliases 1\nnext 2\n1 fd00::1 remote\n"));
}
