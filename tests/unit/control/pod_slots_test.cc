#include "control/pod_slots.h"

#include <doctest/doctest.h>

using leat::control::PodSlots;

TEST_CASE("a pod keeps its index, and a freed one is the last to be given again") {
  PodSlots slots;
  CHECK(slots.hold("a") == 0);
  CHECK(slots.hold("b") == 1);
  CHECK(slots.hold("a") == 0);
  slots.keep_only({"b"});
  CHECK(slots.hold("c") == 2);
  for (uint32_t i = 3; i < PodSlots::kSlots; ++i) CHECK(slots.hold("pod-" + std::to_string(i)) == i);
  CHECK(slots.hold("d") == 0);
  CHECK_FALSE(slots.hold("e"));
}

TEST_CASE("indexes survive save and load; a damaged store is refused") {
  PodSlots slots;
  (void)slots.hold("gone");
  (void)slots.hold("shop/frontend");
  slots.keep_only({"shop/frontend"});
  auto loaded = PodSlots::load(slots.save());
  REQUIRE(loaded);
  CHECK(loaded->save() == slots.save());
  CHECK(loaded->hold("shop/frontend") == 1);
  CHECK(loaded->hold("new") == 2);
  for (const char* text : {"leat-pods 2\n", "leat-pods 1\nnext 1024\n", "leat-pods 1\nnext 0\n5\n",
                           "leat-pods 1\nnext 0\n1024 a\n", "leat-pods 1\nnext 0\n1 a\n1 b\n"}) {
    CAPTURE(text);
    CHECK_FALSE(PodSlots::load(text));
  }
}
