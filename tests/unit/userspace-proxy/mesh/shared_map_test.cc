#include "userspace-proxy/mesh/shared_map.h"

#include <doctest/doctest.h>

#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace leat::proxy {
namespace {

using Texts = SharedMap<std::string, int, TextHash>;

std::optional<int> value(const Texts& map, std::string_view key) {
  const int* found = map.find(key);
  return found ? std::optional(*found) : std::nullopt;
}

}  // namespace

TEST_CASE("an edit of a copy is not seen in the original, and the other way round") {
  Texts first;
  first.put("a", 1);
  first.put("b", 2);
  Texts second = first;
  second.put("a", 10);
  second.erase(std::string_view("b"));
  first.put("c", 3);

  CHECK(value(first, "a") == 1);
  CHECK(value(first, "b") == 2);
  CHECK(value(first, "c") == 3);
  CHECK(value(second, "a") == 10);
  CHECK_FALSE(value(second, "b"));
  CHECK_FALSE(value(second, "c"));
}

TEST_CASE("what an edit does not touch stays where it is for both") {
  Texts first;
  for (int i = 0; i < 10'000; ++i) first.put(std::to_string(i), i);
  Texts second = first;
  second.put("5000", -1);
  int shared = 0;
  first.for_each([&](const std::string& key, const int& number) { shared += second.find(key) == &number ? 1 : 0; });
  CHECK(shared > 9'800);  // all but one shard of 256
  CHECK(shared < 10'000);
}

TEST_CASE("generations say what maps of their own would say, whatever the order of edits") {
  std::mt19937 random(7);
  std::vector<SharedMap<uint32_t, uint32_t>> generations(1);
  std::vector<std::unordered_map<uint32_t, uint32_t>> expected(1);
  for (int round = 0; round < 50; ++round) {
    generations.push_back(generations.back());
    expected.push_back(expected.back());
    for (int edit = 0; edit < 40; ++edit) {
      const uint32_t key = random() % 500;
      if (random() % 3 == 0) {
        generations.back().erase(key);
        expected.back().erase(key);
      } else {
        generations.back().put(key, edit);
        expected.back()[key] = edit;
      }
    }
  }
  for (size_t i = 0; i < generations.size(); ++i) {
    std::unordered_map<uint32_t, uint32_t> seen;
    generations[i].for_each([&](uint32_t key, uint32_t number) { seen.emplace(key, number); });
    CHECK(seen == expected[i]);
  }
}

}  // namespace leat::proxy
