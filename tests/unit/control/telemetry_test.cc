// What Telemetry objects and the Mesh object say of requests, and which of them holds for a pod.
#include <doctest/doctest.h>

#include <algorithm>

#include <fmt/format.h>

#include "control/compile.h"
#include "control/parse.h"

namespace leat::control {
namespace {

constexpr std::string_view kShop = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {leat.dev/mesh: enabled}}
---
apiVersion: v1
kind: Pod
metadata: {name: frontend, namespace: shop, labels: {app: frontend}, annotations: {leat.dev/netns: /n}}
spec: {nodeName: node-a}
status: {podIP: 10.1.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: backend, namespace: shop, labels: {app: backend}, annotations: {leat.dev/netns: /m}}
spec: {nodeName: node-b}
status: {podIP: 10.2.0.1}
---
apiVersion: v1
kind: Namespace
metadata: {name: observability}
---
apiVersion: v1
kind: Pod
metadata: {name: collector, namespace: observability, labels: {app: collector}}
spec: {nodeName: node-b}
status: {podIP: 10.2.0.2}
---
apiVersion: v1
kind: Service
metadata: {name: collector, namespace: observability}
spec: {clusterIP: 10.96.0.9, selector: {app: collector}, ports: [{name: otlp, port: 4318}]}
---
)";

struct Compiled {
  CompiledMesh mesh;
  std::vector<std::string> messages;

  [[nodiscard]] const v1::Workload& pod(std::string_view name) const {
    return *std::ranges::find(mesh.mesh.workloads(), name,
                              [](const auto& pod) -> const std::string& { return pod.name(); });
  }
  [[nodiscard]] bool says(std::string_view text) const {
    return std::ranges::any_of(messages, [&](const std::string& message) { return message.contains(text); });
  }
};

Compiled compile(const std::string& objects) {
  const Parsed parsed = parse(std::string(kShop) + objects, "f.yaml", "shop");
  ObjectSet all;
  for (const Object& object : parsed.objects) all.put(object);
  Books books;
  Compiled compiled{.mesh = Compiler("node-a", books).compile(all)};
  for (const v1::Finding& finding : parsed.findings)
    compiled.messages.push_back(finding.field() + ": " + finding.message());
  for (const v1::Finding& finding : compiled.mesh.findings)
    compiled.messages.push_back(finding.field() + ": " + finding.message());
  return compiled;
}

std::string mesh(std::string_view spec) {
  return fmt::format("apiVersion: leat.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: default}}\nspec: {}\n---\n", spec);
}

std::string telemetry(std::string_view name, std::string_view ns, std::string_view spec,
                      std::string_view created = "2026-01-01T00:00:00Z") {
  return fmt::format(
      "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: {}, namespace: {}, creationTimestamp: "
      "\"{}\"}}\nspec: {}\n---\n",
      name, ns, created, spec);
}

TEST_CASE("without a word about it nothing is traced or logged") {
  const Compiled plain = compile(mesh("{}"));
  CHECK_FALSE(plain.mesh.mesh.settings().has_tracing());
  CHECK_FALSE(plain.mesh.mesh.settings().has_access_log());
  CHECK_FALSE(plain.pod("frontend").has_telemetry());
}

TEST_CASE("a collector is written in one form, and its Service is known though nobody calls it") {
  const Compiled traced =
      compile(mesh("{tracing: {otlp: \"http://collector.observability.svc\", samplingPercentage: 12.5}}"));
  CHECK(traced.mesh.mesh.settings().tracing().otlp_endpoint() == "http://collector.observability.svc:4318/v1/traces");
  CHECK(traced.mesh.mesh.settings().tracing().sampling_percent() == 12.5);
  CHECK(std::ranges::any_of(traced.mesh.mesh.services(),
                            [](const auto& service) { return service.name() == "collector"; }));
  CHECK(compile(mesh("{tracing: {otlp: \"http://[fd00::1]:9/x\"}}")).mesh.mesh.settings().tracing().otlp_endpoint() ==
        "http://[fd00::1]:9/x");
  CHECK(compile(mesh("{tracing: {}}")).mesh.mesh.settings().tracing().sampling_percent() == 1);
}

TEST_CASE("what a collector wants to see and how it is packed are settings, and what they may not be is a finding") {
  const auto tracing = [](const Compiled& compiled) { return compiled.mesh.mesh.settings().tracing(); };
  const Compiled good =
      compile(mesh("{tracing: {compression: gzip, headers: {Authorization: Bearer a.b, X-Scope: shop}}}"));
  CHECK(tracing(good).gzip());
  REQUIRE(tracing(good).headers_size() == 2);
  CHECK(tracing(good).headers(0).name() == "authorization");
  CHECK(tracing(good).headers(0).value() == "Bearer a.b");
  const Compiled wrong = compile(mesh("{tracing: {compression: zstd, headers: {Host: a, \"b c\": d, e: \"f\\ng\"}}}"));
  CHECK(wrong.says("spec.tracing.compression"));
  CHECK(wrong.says("spec.tracing.headers"));
  CHECK_FALSE(tracing(wrong).gzip());
  CHECK(tracing(wrong).headers_size() == 0);
}

TEST_CASE("a collector that can't be reached is a finding, and no span is sent") {
  for (const char* wrong : {"https://collector.observability", "collector.observability:4318", "http://collector",
                            "http://otel.example.com", "http://collector.observability:99999"}) {
    CAPTURE(wrong);
    const Compiled traced = compile(mesh(fmt::format("{{tracing: {{otlp: \"{}\"}}}}", wrong)));
    CHECK(traced.says("spec.tracing.otlp"));
    CHECK(traced.mesh.mesh.settings().tracing().otlp_endpoint().empty());
  }
}

TEST_CASE("an access log's format is checked before a proxy sees it") {
  const Compiled json =
      compile(mesh("{accessLog: {encoding: JSON, format: {code: \"%RESPONSE_CODE%\"}, linesPerSecond: 7}}"));
  CHECK(json.mesh.mesh.settings().access_log().on());
  CHECK(json.mesh.mesh.settings().access_log().format() == R"({"code":"%RESPONSE_CODE%"})");
  CHECK(json.mesh.mesh.settings().access_log().lines_a_second() == 7);
  const Compiled wrong = compile(mesh("{accessLog: {format: \"%NOTHING%\"}}"));
  CHECK(wrong.says("spec.accessLog.format: %NOTHING% is no operator"));
  CHECK(wrong.mesh.mesh.settings().access_log().format().empty());
}

TEST_CASE("the narrowest Telemetry that says a thing holds for it") {
  const Compiled layered = compile(
      telemetry("mesh", "leat-system", "{tracing: [{randomSamplingPercentage: 1, disableSpanReporting: true}]}") +
      telemetry("space", "shop",
                "{tracing: [{randomSamplingPercentage: 50}], accessLogging: [{filter: {expression: \"response.code >= "
                "500\"}}]}") +
      telemetry("pod", "shop", "{selector: {matchLabels: {app: frontend}}, accessLogging: [{disabled: true}]}"));
  const v1::Telemetry& frontend = layered.pod("frontend").telemetry();
  CHECK(frontend.sampling_percent() == 50);
  CHECK(frontend.tracing_disabled());
  CHECK(frontend.has_access_log());
  CHECK_FALSE(frontend.access_log());
  CHECK_FALSE(layered.pod("backend").has_telemetry());  // another node's
  for (const std::string& message : layered.messages) FAIL_CHECK(message);
}

TEST_CASE("of two that hold for the same the older one wins, and the other is a finding") {
  const Compiled two =
      compile(telemetry("new", "shop", "{tracing: [{randomSamplingPercentage: 1}]}", "2026-02-01T00:00:00Z") +
              telemetry("old", "shop", "{tracing: [{randomSamplingPercentage: 2}]}"));
  CHECK(two.pod("frontend").telemetry().sampling_percent() == 2);
  CHECK(two.says("has no effect on namespace shop"));
}

TEST_CASE("what of a Telemetry is not honoured is a finding") {
  const Compiled odd = compile(
      telemetry("odd", "shop", R"({metrics: [{}], tracing: [{match: {mode: SERVER}, randomSamplingPercentage: 7}],
    accessLogging: [{filter: {expression: "source.principal == 'a'"}}]})"));
  CHECK(odd.says("spec.metrics: not supported, ignored: all metrics are there"));
  CHECK(odd.says("spec.tracing[0].match.mode: requests are seen at their client's side only"));
  CHECK(odd.says("spec.accessLogging[0].filter.expression: 'source.principal' is no attribute"));
  CHECK_FALSE(odd.pod("frontend").telemetry().has_sampling_percent());
  CHECK_FALSE(odd.pod("frontend").telemetry().has_access_log());
}

TEST_CASE("custom tags are literals, headers, and what stands for an environment") {
  const Compiled tagged = compile(telemetry("tags", "shop", R"({tracing: [{customTags: {
    b: {header: {name: X-Tenant, defaultValue: none}}, a: {literal: {value: x}}, c: {environment: {name: ZONE, defaultValue: z}}}}]})"));
  const auto& tags = tagged.pod("frontend").telemetry().tags();
  REQUIRE(tags.size() == 3);
  CHECK(tags[0].literal() == "x");
  CHECK(tags[1].header() == "x-tenant");
  CHECK(tags[1].fallback() == "none");
  CHECK(tags[2].literal() == "z");
  CHECK(tagged.says("customTags.c.environment: the proxy does not know"));
}

}  // namespace
}  // namespace leat::control
