#include "userspace-proxy/telemetry/trace_context.h"

#include <map>
#include <string>

#include <doctest/doctest.h>

namespace leat::proxy {
namespace {

constexpr std::string_view kParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr TraceId kTrace{0x4bf92f3577b34da6, 0xa3ce929d0e0e4736};
constexpr uint64_t kSpan = 0x00f067aa0ba902b7;

using Lines = std::map<std::string, std::string, std::less<>>;

TraceFields fields_of(const Lines& lines) {
  TraceFields fields;
  for (const auto& [name, value] : lines) fields.note(name, value);
  return fields;
}

IncomingTrace read(const Lines& lines) { return IncomingTrace::read(fields_of(lines)); }

struct Sent {
  Lines set;
  std::map<std::string, bool, std::less<>> removed;
};
Sent forward(const Lines& lines, TraceId trace, uint64_t span, Sampled sampled) {
  const IncomingTrace incoming = read(lines);
  const OutgoingTrace outgoing(incoming, trace, span, sampled);
  Sent sent;
  for (const auto& [name, value] : outgoing.set()) sent.set.emplace(name, value);
  for (const std::string_view name : outgoing.remove()) sent.removed.emplace(name, true);
  return sent;
}

TEST_CASE("a valid traceparent is read with its decision") {
  const IncomingTrace trace = read({{"Traceparent", std::string(kParent)}});
  CHECK(trace.w3c);
  CHECK(trace.trace == kTrace);
  CHECK(trace.span == kSpan);
  CHECK(trace.sampled == Sampled::kYes);
  CHECK(read({{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}}).sampled == Sampled::kNo);
}

TEST_CASE("a traceparent of a version that is to come is read by its first four parts") {
  CHECK(read({{"traceparent", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else"}}).trace == kTrace);
  CHECK_FALSE(read({{"traceparent", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more"}}).w3c);
}

TEST_CASE("a traceparent that breaks a rule is as good as none") {
  for (const char* wrong : {"", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
                            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
                            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01"}) {
    CAPTURE(wrong);
    const IncomingTrace trace = read({{"traceparent", wrong}, {"tracestate", "vendor=1"}});
    CHECK_FALSE(trace.w3c);
    CHECK_FALSE(trace.trace.valid());
    CHECK(trace.stale_state);
  }
}

TEST_CASE("two traceparents are none") {
  TraceFields fields;
  fields.note("traceparent", kParent);
  fields.note("traceparent", kParent);
  CHECK_FALSE(IncomingTrace::read(fields).w3c);
}

TEST_CASE("B3 is read in one field, with and without a decision and a parent") {
  const std::string ids = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
  for (const auto& [text, sampled] : {std::pair(ids, Sampled::kUndecided), std::pair(ids + "-1", Sampled::kYes),
                                      std::pair(ids + "-0-05e3ac9a4f6e3b90", Sampled::kNo),
                                      std::pair(ids + "-d-05e3ac9a4f6e3b90", Sampled::kDebug)}) {
    CAPTURE(text);
    const IncomingTrace trace = read({{"b3", text}});
    CHECK(trace.trace == kTrace);
    CHECK(trace.span == kSpan);
    CHECK(trace.sampled == sampled);
    CHECK(trace.b3_single);
  }
  CHECK(read({{"b3", "0"}}).sampled == Sampled::kNo);
  CHECK(read({{"b3", "a3ce929d0e0e4736-00f067aa0ba902b7-1"}}).trace == TraceId{0, 0xa3ce929d0e0e4736});
  CHECK_FALSE(read({{"b3", "a3ce929d0e0e4736-00f067aa0ba902b7x1"}}).trace.valid());
  CHECK_FALSE(read({{"b3", "-"}}).trace.valid());
}

TEST_CASE("B3 is read in several fields") {
  const IncomingTrace trace = read({{"X-B3-TraceId", "4BF92F3577B34DA6A3CE929D0E0E4736"},
                                    {"X-B3-SpanId", "00f067aa0ba902b7"},
                                    {"X-B3-Sampled", "1"}});
  CHECK(trace.trace == kTrace);
  CHECK(trace.span == kSpan);
  CHECK(trace.sampled == Sampled::kYes);
  CHECK(trace.b3_multi);
  CHECK(read({{"x-b3-flags", "1"}}).sampled == Sampled::kDebug);
  CHECK(read({{"x-b3-sampled", "0"}}).sampled == Sampled::kNo);
}

TEST_CASE("W3C's word counts before B3's") {
  const IncomingTrace trace =
      read({{"traceparent", std::string(kParent)}, {"b3", "11111111111111112222222222222222-3333333333333333-0"}});
  CHECK(trace.trace == kTrace);
  CHECK(trace.sampled == Sampled::kYes);
  CHECK(trace.b3_single);
}

TEST_CASE("a trace goes on in W3C's form, and in no other that the request does not have") {
  const Sent sent =
      forward({{"traceparent", std::string(kParent)}, {"tracestate", "vendor=1"}}, kTrace, 0xabc, Sampled::kYes);
  CHECK(sent.set == Lines{{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01"}});
  CHECK(sent.removed.empty());
}

TEST_CASE("a new trace does not go on with a tracestate of an invalid parent") {
  CHECK(forward({{"tracestate", "vendor=1"}}, kTrace, 1, Sampled::kNo).removed.contains("tracestate"));
}

TEST_CASE("both forms of B3 go on in step with traceparent") {
  const Sent sent = forward({{"b3", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1"}, {"x-b3-flags", "0"}},
                            kTrace, 0xabc, Sampled::kYes);
  CHECK(sent.set == Lines{{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-01"},
                          {"b3", "4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-1-00f067aa0ba902b7"},
                          {"x-b3-traceid", "4bf92f3577b34da6a3ce929d0e0e4736"},
                          {"x-b3-spanid", "0000000000000abc"},
                          {"x-b3-parentspanid", "00f067aa0ba902b7"},
                          {"x-b3-sampled", "1"}});
  CHECK(sent.removed.contains("x-b3-flags"));
}

TEST_CASE("B3's debug stays debug, and says so in W3C's form as far as that can") {
  const Sent sent = forward({{"x-b3-flags", "1"}}, kTrace, 0xabc, Sampled::kDebug);
  CHECK(sent.set.at("x-b3-flags") == "1");
  CHECK(sent.removed.contains("x-b3-sampled"));
  CHECK(sent.set.at("traceparent").ends_with("-01"));
}

}  // namespace
}  // namespace leat::proxy
