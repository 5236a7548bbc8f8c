// Timeouts and retries, as objects write them.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include "control/parse.h"

namespace leat::control {
namespace {

struct Read {
  HttpRoute route;
  Findings findings;
};

// The one route of a VirtualService with these fields.
Read read(std::string_view fields) {
  const std::string text = fmt::format(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: r, namespace: shop}}
spec: {{hosts: [web], http: [{{route: [{{destination: {{host: web}}}}], {}}}]}}
)",
                                       fields);
  Parsed parsed = parse(text, "r.yaml", "shop");
  REQUIRE(parsed.objects.size() == 1);
  return {std::get<VirtualService>(parsed.objects[0]).http.at(0), std::move(parsed.findings)};
}

std::string only_finding(const Read& read) {
  REQUIRE(read.findings.size() == 1);
  return fmt::format("{}: {}", read.findings[0].field(), read.findings[0].message());
}

}  // namespace

TEST_CASE("a route that says nothing has no timeout and no retries of its own") {
  const Read said = read("name: plain");
  CHECK(said.route.actions.timeout_ms() == 0);
  CHECK_FALSE(said.route.actions.has_retries());
  CHECK(said.findings.empty());
}

TEST_CASE("every field of retries is read") {
  const Read said = read(
      "timeout: 1m30s, retries: {attempts: 4, perTryTimeout: 2s, backoff: 100ms, retryIgnorePreviousHosts: false, "
      "retryRemoteLocalities: true, retryOn: \"5xx,gateway-error, reset,reset-before-request,connect-failure,"
      "retriable-4xx,retriable-headers,envoy-ratelimited,refused-stream,cancelled,deadline-exceeded,internal,resource-"
      "exhausted,unavailable,"
      "retriable-status-codes,429,599\"}");
  CHECK(said.findings.empty());
  CHECK(said.route.actions.timeout_ms() == 90'000);
  REQUIRE(said.route.actions.has_retries());
  const v1::RetryPolicy& retries = said.route.actions.retries();
  CHECK(retries.attempts() == 4);
  CHECK(retries.per_try_timeout_ms() == 2000);
  CHECK(retries.backoff_ms() == 100);
  CHECK(retries.allow_same_host());
  CHECK(retries.on_size() == v1::RetryCondition_ARRAYSIZE);
  REQUIRE(retries.status_codes_size() == 2);
  CHECK(retries.status_codes(0) == 429);
  CHECK(retries.status_codes(1) == 599);
}

TEST_CASE("hosts that were tried are avoided unless an object says otherwise") {
  CHECK_FALSE(read("retries: {attempts: 1}").route.actions.retries().allow_same_host());
}

TEST_CASE("what can't be honoured is a finding, and the rest stays") {
  const Read unknown = read("retries: {attempts: 2, retryOn: \"5xx,sometimes\"}");
  CHECK(only_finding(unknown).starts_with("spec.http[0].retries.retryOn: 'sometimes' is neither"));
  CHECK(unknown.route.actions.retries().on_size() == 1);
  CHECK(only_finding(read("retries: {attempts: 2, retryOn: \"5xx,99\"}")).find("'99'") != std::string::npos);
  CHECK(only_finding(read("retries: {attempts: many}")).starts_with("spec.http[0].retries.attempts: must be"));
  CHECK(only_finding(read("retries: {perTryTimeout: 1s}")).find("nothing is tried again") != std::string::npos);
  CHECK(only_finding(read("retries: {attempts: 1, retryRemoteLocalities: false}")).find("locality") !=
        std::string::npos);
  CHECK(only_finding(read("retries: {attempts: 1, tries: 2}")).find("unknown field") != std::string::npos);
  CHECK(only_finding(read("timeout: soon")).starts_with("spec.http[0].timeout"));
}

TEST_CASE("the Mesh object may set retries, and switch the reason header off") {
  const Parsed parsed = parse(R"(apiVersion: leat.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {retries: {attempts: 3, retryOn: reset}, reasonHeader: false}
)",
                              "m.yaml", "shop");
  CHECK(parsed.findings.empty());
  const v1::MeshSettings& settings = std::get<Mesh>(parsed.objects.at(0)).settings;
  CHECK(settings.retries().attempts() == 3);
  CHECK(settings.no_reason_header());
}

TEST_CASE("an annotation hedges all routes of its object, and one that is no time is named") {
  const auto read_with = [](std::string_view after) {
    const std::string text = fmt::format(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: r, namespace: shop, annotations: {{leat.dev/hedge-after: {}}}}}
spec: {{hosts: [web], http: [{{route: [{{destination: {{host: web}}}}]}}, {{route: [{{destination: {{host: web}}}}]}}]}}
)",
                                         after);
    return parse(text, "r.yaml", "shop");
  };
  const Parsed good = read_with("150ms");
  CHECK(good.findings.empty());
  for (const HttpRoute& route : std::get<VirtualService>(good.objects.at(0)).http)
    CHECK(route.actions.hedge_after_ms() == 150);
  for (const char* wrong : {"0s", "soon"}) {
    const Parsed bad = read_with(wrong);
    REQUIRE(bad.findings.size() == 1);
    CHECK(bad.findings[0].field() == "metadata.annotations.leat.dev/hedge-after");
    CHECK(std::get<VirtualService>(bad.objects.at(0)).http.at(0).actions.hedge_after_ms() == 0);
  }
}

}  // namespace leat::control
