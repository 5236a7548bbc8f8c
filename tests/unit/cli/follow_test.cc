#include "cli/follow.h"

#include <doctest/doctest.h>

using namespace leat;

namespace {

v1::Flow flow(uint64_t id, int64_t closed_ms = 0) {
  v1::Flow some;
  some.set_id(id);
  some.set_opened_ms(1000);
  some.set_closed_ms(closed_ms);
  return some;
}

}  // namespace

TEST_CASE("a flow is news when it opens and when it closes, each once") {
  cli::FlowNews news;
  CHECK(news.take({flow(1), flow(2)}).size() == 2);
  CHECK(news.take({flow(1), flow(2)}).empty());
  const auto closed = news.take({flow(2), flow(1, 2000)});
  REQUIRE(closed.size() == 1);
  CHECK(closed[0].closed_ms() == 2000);
  CHECK(news.take({flow(2), flow(1, 2000)}).empty());
  CHECK(news.take({flow(2, 3000), flow(3)}).size() == 2);
}
