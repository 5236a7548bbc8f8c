#include "common/exposition.h"

#include <doctest/doctest.h>

using namespace leat;

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

std::string prometheus_text(const v1::ApiReply& reply) {
  return exposition_text(reply.counters(), ExpositionFormat::kPrometheus);
}
std::string openmetrics_text(const v1::ApiReply& reply) {
  return exposition_text(reply.counters(), ExpositionFormat::kOpenMetrics);
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

TEST_CASE("a family that is known says what it is of, and one of the kernel's counters too") {
  v1::ApiReply reply;
  add(reply, "leat_tunnels_open", 1, true);
  add(reply, "leat_capture_connect_direct_total", 2);
  add(reply, "z_nobody_knows_total", 3);
  CHECK(openmetrics_text(reply) ==
        "# HELP leat_capture_connect_direct connects joined to a local pod in the kernel\n"
        "# TYPE leat_capture_connect_direct counter\nleat_capture_connect_direct_total 2\n"
        "# HELP leat_tunnels_open tunnels now, by direction\n# TYPE leat_tunnels_open gauge\nleat_tunnels_open 1\n"
        "# TYPE z_nobody_knows counter\nz_nobody_knows_total 3\n"
        "# EOF\n");
}

TEST_CASE("a histogram's buckets are cumulative, and the last one is the count") {
  CHECK(prometheus_text(with_histogram()) ==
        "# TYPE took_ms histogram\n"
        "took_ms_bucket{pod=\"a\",le=\"0.5\"} 2\n"
        "took_ms_bucket{pod=\"a\",le=\"5\"} 2\n"
        "took_ms_bucket{pod=\"a\",le=\"+Inf\"} 3\n"
        "took_ms_sum{pod=\"a\"} 1200.5\n"
        "took_ms_count{pod=\"a\"} 3\n");
}

TEST_CASE("what would end a label's value is escaped") {
  v1::ApiReply reply;
  (*add(reply, "a", 1).mutable_labels())["why"] = "say \"no\\\" \n twice";
  CHECK(prometheus_text(reply).contains(R"(why="say \"no\\\" \n twice")"));
}

TEST_CASE("equal names and labels are summed, histograms bucket by bucket") {
  v1::ApiReply reply = with_histogram();
  reply.add_counters()->CopyFrom(reply.counters(0));
  (*add(reply, "z_total", 2).mutable_labels())["pod"] = "b";
  (*add(reply, "z_total", 3).mutable_labels())["pod"] = "b";
  const std::string text = prometheus_text(reply);
  CHECK(text.contains("took_ms_bucket{pod=\"a\",le=\"+Inf\"} 6\n"));
  CHECK(text.contains("took_ms_sum{pod=\"a\"} 2401\n"));
  CHECK(text.contains("z_total{pod=\"b\"} 5\n"));
}

TEST_CASE("OpenMetrics names a counter's family without its _total, writes bounds as floats and marks the end") {
  v1::ApiReply reply = with_histogram();
  add(reply, "z_total", 1);
  add(reply, "odd_counter", 1);
  const std::string text = openmetrics_text(reply);
  CHECK(text.contains("# TYPE z counter\nz_total 1\n"));
  CHECK(text.contains("# TYPE odd_counter unknown\n"));
  CHECK(text.contains("le=\"5.0\""));
  CHECK(text.ends_with("# EOF\n"));
}

TEST_CASE("read in pieces the text is the same") {
  v1::ApiReply reply = with_histogram();
  for (const char* pod : {"a", "b", "c"}) (*add(reply, "z_total", 1).mutable_labels())["pod"] = pod;
  Exposition exposition;
  for (const v1::Counter& counter : reply.counters()) exposition.add(counter);
  for (const auto format : {ExpositionFormat::kPrometheus, ExpositionFormat::kOpenMetrics}) {
    Exposition::Text text(exposition, format);
    std::string all;
    int pieces = 1;
    for (; text.append(all, 1); ++pieces) {
    }
    CHECK(all == exposition_text(reply.counters(), format));
    CHECK(pieces >= 4);
  }
}
