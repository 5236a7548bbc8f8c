#include "userspace-proxy/ring/buffer.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

namespace leat::ring {
namespace {

std::string text(const Chain& chain) {
  std::string all;
  for (const Buffer& slice : chain.slices()) all.append(reinterpret_cast<const char*>(slice.data()), slice.size());
  return all;
}

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

TEST_CASE("a chain holds, gives and loses bytes in order, whatever is done to it") {
  std::mt19937_64 random(3);
  BufferPool pool(512);
  {
    Chain chain;
    std::string expected;
    uint8_t next = 0;
    for (int step = 0; step < 20'000; ++step) {
      switch (random() % 6) {
        case 0: {  // bytes copied in
          std::string more(random() % 3'000, '\0');
          for (char& byte : more) byte = static_cast<char>(next++);
          if (expected.size() > 1'000'000) break;
          REQUIRE(chain.append_copy(pool, bytes_of(more)));
          expected += more;
          break;
        }
        case 1: {  // a slice of its own
          Buffer buffer = pool.allocate();
          if (!buffer.has_block()) break;
          *buffer.data() = next;
          buffer.grow(1);
          expected += static_cast<char>(next++);
          chain.append(std::move(buffer));
          break;
        }
        case 2: {
          const size_t part = random() % (expected.size() + 1);
          chain.consume(part);
          expected.erase(0, part);
          break;
        }
        case 3: {  // taken out and put back behind
          const size_t part = random() % (expected.size() + 1);
          Chain taken = chain.take(part);
          CHECK(text(taken) == expected.substr(0, part));
          chain.append(std::move(taken));
          expected = expected.substr(part) + expected.substr(0, part);
          break;
        }
        case 4: {
          Chain moved(std::move(chain));
          CHECK(chain.empty());
          chain = std::move(moved);
          break;
        }
        default: {
          if (random() % 20 != 0) break;
          chain.clear();
          expected.clear();
        }
      }
      REQUIRE(chain.size() == expected.size());
      if (step % 50 == 0) REQUIRE(text(chain) == expected);
    }
  }
  CHECK(pool.free_blocks() == pool.blocks());
}

TEST_CASE("an empty pool refuses, keeps what fitted, and serves again when a block returns") {
  BufferPool pool(2);
  Chain chain;
  const std::string much(3 * BufferPool::kBlockBytes, 'x');
  CHECK_FALSE(chain.append_copy(pool, bytes_of(much)));
  CHECK(chain.size() == 2 * BufferPool::kBlockBytes);
  CHECK_FALSE(pool.allocate().has_block());
  chain.consume(BufferPool::kBlockBytes);
  CHECK(pool.allocate().has_block());
}

TEST_CASE("a shared block returns with its last slice, and only its sole owner may write behind it") {
  BufferPool pool(2);
  Buffer first = pool.allocate();
  first.grow(100);
  {
    const Buffer second = first.share(50, 10);
    CHECK_FALSE(first.sole_owner());
    first = Buffer();
    CHECK(pool.free_blocks() == 1);
    CHECK(second.sole_owner());
  }
  CHECK(pool.free_blocks() == 2);
}

}  // namespace
}  // namespace leat::ring
