#include "cli/prometheus.h"

#include <doctest/doctest.h>

#include "cli/views.h"

using namespace leat;
using namespace leat::cli;

namespace {

v1::Counter& add(v1::ApiReply& reply, const char* name, double value, bool gauge = false) {
  v1::Counter& counter = *reply.add_counters();
  counter.set_name(name);
  counter.set_value(value);
  counter.set_gauge(gauge);
  return counter;
}

v1::ApiReply with_histogram() {
  v1::ApiReply reply;
  v1::Counter& took = add(reply, "took_ms", 0);
  (*took.mutable_labels())["pod"] = "a";
  for (const double bound : {0.5, 5.0}) took.mutable_histogram()->add_bounds(bound);
  for (const uint64_t count : {2, 0, 1}) took.mutable_histogram()->add_counts(count);
  took.mutable_histogram()->set_sum(1200.5);
  return reply;
}

}  // namespace

TEST_CASE("each family stands together below its type, in the order of names and labels") {
  v1::ApiReply reply;
  (*add(reply, "z_total", 2).mutable_labels())["pod"] = "b";
  add(reply, "open", 1.5, true);
  (*add(reply, "z_total", 1).mutable_labels())["pod"] = "a";
  CHECK(prometheus_text(reply) ==
        "# TYPE open gauge\nopen 1.5\n# TYPE z_total counter\nz_total{pod=\"a\"} 1\nz_total{pod=\"b\"} 2\n");
}

TEST_CASE("a histogram's buckets are cumulative, and the last one is the count") {
  CHECK(prometheus_text(with_histogram()) ==
        "# TYPE took_ms histogram\n"
        "took_ms_bucket{le=\"0.5\",pod=\"a\"} 2\n"
        "took_ms_bucket{le=\"5\",pod=\"a\"} 2\n"
        "took_ms_bucket{le=\"+Inf\",pod=\"a\"} 3\n"
        "took_ms_sum{pod=\"a\"} 1200.5\n"
        "took_ms_count{pod=\"a\"} 3\n");
}

TEST_CASE("what would end a label's value is escaped") {
  v1::ApiReply reply;
  (*add(reply, "a", 1).mutable_labels())["why"] = "say \"no\\\" \n twice";
  CHECK(prometheus_text(reply).contains(R"(why="say \"no\\\" \n twice")"));
}

TEST_CASE("the table and JSON have the same histogram") {
  const View view = counters_view(with_histogram());
  CHECK(view.table.render(false).contains("3 values, sum 1200.5"));
  CHECK(
      view.list[0].dump() ==
      R"({"name":"took_ms","labels":{"pod":"a"},"count":3,"sum":1200.5,"buckets":[{"le":0.5,"count":2},{"le":5,"count":2}]})");
}
