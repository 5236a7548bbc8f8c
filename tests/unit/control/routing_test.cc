// What routes.yaml of the golden tests does not say in full: protocols, host names, who sees which table, and what an
// edit sends.
#include <doctest/doctest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/compile.h"
#include "control/delta.h"
#include "control/hosts.h"
#include "control/parse.h"
#include "control/protocol.h"

namespace leat::control {
namespace {

constexpr std::string_view kShop = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {leat.dev/mesh: enabled}}
---
apiVersion: v1
kind: Pod
metadata: {name: v1, namespace: shop, labels: {app: backend, version: v1}, annotations: {leat.dev/netns: /n}}
spec: {nodeName: node-a}
status: {podIP: 10.1.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: backend, namespace: shop}
spec: {clusterIP: 10.96.0.1, selector: {app: backend}, ports: [{name: http, port: 8080}]}
---
)";

struct Cluster {
  Books books;
  Compiler compiler{"node-a", books};

  CompiledMesh compile(const std::string& routing) {
    const Parsed parsed = parse(std::string(kShop) + routing, "f.yaml", "shop");
    CHECK(parsed.findings.empty());
    ObjectSet objects;
    for (const Object& object : parsed.objects) objects.put(object);
    return compiler.compile(objects);
  }
};

std::string virtual_service(std::string_view name, std::string_view host, std::string_view export_to,
                            std::string_view created = "2026-01-01T00:00:00Z") {
  return fmt::format(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {}, namespace: shop, creationTimestamp: "{}"}}
spec: {{hosts: ["{}"], exportTo: [{}], http: [{{route: [{{destination: {{host: backend}}}}]}}]}}
---
)",
                     name, created, host, export_to);
}

// "shop,test:a all:b": each table's namespaces and object.
std::string tables_of(const CompiledMesh& compiled) {
  std::vector<std::string> texts;
  for (const v1::RouteTable& table : compiled.mesh.services(0).route_tables()) {
    texts.push_back(
        fmt::format("{}:{}", table.visible_to().empty() ? "all" : fmt::format("{}", fmt::join(table.visible_to(), ",")),
                    table.routes(0).origin().name()));
  }
  return fmt::format("{}", fmt::join(texts, " "));
}

std::string findings_of(const CompiledMesh& compiled) {
  std::string text;
  for (const v1::Finding& finding : compiled.findings)
    text += fmt::format("{} {}: {}\n", finding.severity(), finding.object(), finding.message());
  return text;
}

Declared declared(const char* name, const char* app_protocol = "") {
  return declared_protocol({.name = name, .app_protocol = app_protocol});
}

}  // namespace

TEST_CASE("a port's protocol is its appProtocol, else its name up to the first dash") {
  CHECK(declared("http") == Declared::kHttp);
  CHECK(declared("HTTP-metrics") == Declared::kHttp);
  CHECK(declared("grpc-web-x") == Declared::kHttp);
  CHECK(declared("grpc-web") == Declared::kHttp);
  CHECK(declared("grpc-api") == Declared::kHttp2);
  CHECK(declared("http2") == Declared::kHttp2);
  CHECK(declared("https") == Declared::kTls);
  CHECK(declared("tcp-http") == Declared::kOpaque);
  CHECK(declared("mysql") == Declared::kOpaque);
  CHECK(declared("") == Declared::kNothing);
  CHECK(declared("web") == Declared::kNothing);
  CHECK(declared("httpish") == Declared::kNothing);
  CHECK(declared("tcp", "http") == Declared::kHttp);
  CHECK(declared("http", "kubernetes.io/wss") == Declared::kTls);
  CHECK(declared("", "kubernetes.io/ws") == Declared::kHttp);
  CHECK(declared("", "kubernetes.io/h2c") == Declared::kHttp2);
  CHECK(declared("http", "example.com/own") == Declared::kNothing);
}

TEST_CASE("only what is not declared is detected, and only where it is routed") {
  CHECK(protocol_of(Declared::kNothing, {}) == v1::PROTOCOL_TCP);
  CHECK(protocol_of(Declared::kNothing, {.http = true}) == v1::PROTOCOL_DETECT);
  CHECK(protocol_of(Declared::kHttp, {}) == v1::PROTOCOL_HTTP);
  CHECK(protocol_of(Declared::kHttp2, {}) == v1::PROTOCOL_HTTP2);
  CHECK(protocol_of(Declared::kOpaque, {.http = true, .tls = true}) == v1::PROTOCOL_TCP);
  CHECK(protocol_of(Declared::kTls, {.http = true}) == v1::PROTOCOL_TCP);
  CHECK(protocol_of(Declared::kTls, {.tls = true}) == v1::PROTOCOL_TLS);
  CHECK(protocol_of(Declared::kNothing, {.tls = true}) == v1::PROTOCOL_DETECT);
}

TEST_CASE("a host is short, full or a wildcard, and anything else is outside the cluster") {
  const Name backend{"shop", "backend"};
  for (const char* text : {"backend", "Backend", "backend.shop", "backend.shop.svc", "backend.shop.svc.cluster.local",
                           "*.shop.svc.cluster.local", "*.cluster.local", "*"}) {
    CAPTURE(text);
    CHECK(Host(text, "shop").covers(backend));
  }
  for (const char* text : {"", ".", "backend.other", "backend.shop.example.com", "www.example.com",
                           "backend.shop.svc.x", "*.other.svc.cluster.local", "end"}) {
    CAPTURE(text);
    CHECK_FALSE(Host(text, "shop").covers(backend));
  }
  CHECK_FALSE(Host("backend", "other").covers(backend));
  CHECK_FALSE(Host("www.example.com", "shop").service());
}

TEST_CASE("of two VirtualServices for one host the older holds, for the clients that see it") {
  Cluster cluster;
  SUBCASE("all see both") {
    const CompiledMesh both = cluster.compile(virtual_service("a", "backend", "'*'", "2026-01-02T00:00:00Z") +
                                              virtual_service("b", "backend", "'*'"));
    CHECK(tables_of(both) == "all:b");
    CHECK(findings_of(both) ==
          "error VirtualService shop/a: has no effect on Service shop/backend: VirtualService shop/b holds there and "
          "comes first\n");
  }
  SUBCASE("none sees both") {
    const CompiledMesh both =
        cluster.compile(virtual_service("a", "backend", "test") + virtual_service("b", "backend", "'.'"));
    CHECK(tables_of(both) == "test:a shop:b");
    CHECK(findings_of(both).empty());
  }
  SUBCASE("some see both") {
    const CompiledMesh both =
        cluster.compile(virtual_service("a", "backend", "test, shop") + virtual_service("b", "backend", "'*'"));
    CHECK(tables_of(both) == "shop,test:a all:b");
    CHECK(findings_of(both) ==
          "warning VirtualService shop/b: has no effect on Service shop/backend for clients in shop, test: "
          "VirtualService shop/a holds there and comes first\n");
  }
  SUBCASE("one that names a Service in two ways is in nobody's way") {
    const CompiledMesh one = cluster.compile(virtual_service("a", R"(backend", "backend.shop)", "'*'"));
    CHECK(tables_of(one) == "all:a");
    CHECK(findings_of(one).empty());
  }
  SUBCASE("a wildcard yields to the name, whatever its age") {
    const CompiledMesh both =
        cluster.compile(virtual_service("a", "*.shop.svc.cluster.local", "'*'", "2020-01-01T00:00:00Z") +
                        virtual_service("b", "*.svc.cluster.local", "'*'", "2020-01-01T00:00:00Z") +
                        virtual_service("c", "backend", "shop"));
    CHECK(tables_of(both) == "shop:c all:a");
    CHECK(findings_of(both).empty());
  }
}

TEST_CASE("an edited weight sends one Service, and a change that edits nothing sends nothing") {
  Cluster cluster;
  const auto split = [](int weight) {
    return fmt::format(R"(apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata: {{name: backend}}
spec:
  hosts: [backend]
  http:
  - route:
    - destination: {{host: backend, subset: v1}}
      weight: {}
    - destination: {{host: backend, subset: v2}}
      weight: {}
---
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {{name: backend}}
spec:
  host: backend
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
)",
                       weight, 100 - weight);
  };
  const CompiledMesh before = cluster.compile(split(90));
  CHECK(is_empty(diff(before.mesh, cluster.compile(split(90)).mesh)));
  const v1::MeshChange change = diff(before.mesh, cluster.compile(split(80)).mesh);
  REQUIRE(change.services_size() == 1);
  CHECK(change.services(0).route_tables(0).routes(0).destinations(0).weight() == 80);
  CHECK(change.ByteSizeLong() < 400);
  v1::MeshChange rest = change;
  rest.clear_services();
  CHECK(is_empty(rest));
}

TEST_CASE("an HTTP port is never the kernel's, and becomes it again when its route goes") {
  Cluster cluster;
  const std::string undeclared = R"(apiVersion: v1
kind: Service
metadata: {name: plain, namespace: shop}
spec: {clusterIP: 10.96.0.2, selector: {app: backend}, ports: [{port: 80}]}
---
)";
  CHECK(cluster.compile("").plan.services.empty());
  CHECK(cluster.compile(undeclared).plan.services.size() == 1);
  CHECK(cluster.compile(undeclared + virtual_service("a", "plain", "'*'")).plan.services.empty());
  CHECK(cluster.compile(undeclared).plan.services.size() == 1);
}

TEST_CASE("a routed Service without an endpoint in the mesh is captured; one that a route leads to is only known") {
  Cluster cluster;
  const std::string outside = R"(apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {clusterIP: 10.96.0.9, selector: {app: nothing}, ports: [{port: 80}]}
---
)";
  CHECK(cluster.compile(outside).mesh.services_size() == 1);
  const CompiledMesh routed = cluster.compile(outside + virtual_service("a", "outside", "'*'"));
  REQUIRE(routed.mesh.services_size() == 2);
  CHECK(routed.mesh.services(1).vips_size() == 1);
  const CompiledMesh led_to = cluster.compile(outside + R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: shop}
spec: {hosts: [backend], http: [{route: [{destination: {host: outside}}]}]}
)");
  REQUIRE(led_to.mesh.services_size() == 2);
  CHECK(led_to.mesh.services(1).vips_size() == 0);
  CHECK(led_to.mesh.services(0).route_tables(0).routes(0).destinations(0).service() == "shop/outside");
}

}  // namespace leat::control
