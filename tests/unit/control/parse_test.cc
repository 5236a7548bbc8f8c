#include "control/parse.h"

#include <doctest/doctest.h>

#include <fmt/format.h>

#include "control/field.h"

namespace leat::control {
namespace {

// "3 error Pod shop/a spec.x: message", one line a finding.
std::string findings_of(const Parsed& parsed) {
  std::string text;
  for (const v1::Finding& finding : parsed.findings) {
    text += fmt::format("{} {} {} {}: {}\n", finding.line(), finding.severity(), finding.object(), finding.field(),
                        finding.message());
  }
  return text;
}

Parsed parse_here(std::string_view text) { return parse(text, "file.yaml", "shop"); }

}  // namespace

TEST_CASE("an unknown field is named with its line and its likely meaning, and the object stays") {
  const Parsed parsed = parse_here(R"(apiVersion: v1
kind: Pod
metadata:
  name: a
  lables: {app: a}
spec:
  nodename: node-a
  containers:
    - name: app
      readinessProbe:
        htpGet: {port: 80}
status:
  podIP: 10.0.0.1
)");
  CHECK(findings_of(parsed) ==
        "5 error Pod shop/a metadata.lables: unknown field, ignored; did you mean 'labels'?\n"
        "7 error Pod shop/a spec.nodename: unknown field, ignored; did you mean 'nodeName'?\n"
        "11 error Pod shop/a spec.containers[0].readinessProbe.htpGet: unknown field, ignored; did you mean "
        "'httpGet'?\n");
  CHECK(parsed.whole);
  REQUIRE(parsed.objects.size() == 1);
  CHECK(std::get<Pod>(parsed.objects[0]).addresses == std::vector{*IpAddress::parse("10.0.0.1")});
}

TEST_CASE("a document that is no YAML leaves the others of its file in force") {
  const Parsed parsed = parse_here(
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\nkind: [\n---\napiVersion: v1\nkind: "
      "Namespace\nmetadata: {name: b}\n");
  CHECK(parsed.objects.size() == 2);
  CHECK_FALSE(parsed.whole);
  REQUIRE(parsed.findings.size() == 1);
  CHECK(parsed.findings[0].line() == 6);
  CHECK(meta_of(parsed.objects[1]).source.line == 7);
}

TEST_CASE("a value that is not what its field must be is named, and only it is left out") {
  const Parsed parsed = parse_here(R"(apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  clusterIP: 10.96.0
  ports:
    - {port: 80, targetPort: 70000}
    - {port: none}
    - {name: nothing}
)");
  CHECK(findings_of(parsed) ==
        "5 error Service shop/s spec.clusterIP: must be an IP address, not '10.96.0'\n"
        "7 error Service shop/s spec.ports[0].targetPort: must be a port, 1 to 65535, not '70000'\n"
        "8 error Service shop/s spec.ports[1].port: must be a port, 1 to 65535, not 'none'\n"
        "9 error Service shop/s spec.ports[2]: has no port; left out\n");
  CHECK(std::get<Service>(parsed.objects.at(0)).ports.size() == 1);
}

TEST_CASE("a policy whose mode can't be read is left out, never guessed") {
  const Parsed parsed = parse_here(
      "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {mtls: {mode: STRCT}}\n");
  CHECK(parsed.objects.empty());
  CHECK_FALSE(parsed.whole);
  CHECK(findings_of(parsed) ==
        "4 error PeerAuthentication shop/p spec.mtls.mode: must be UNSET, PERMISSIVE, STRICT or DISABLE, not 'STRCT'; "
        "the policy is left out\n");
}

TEST_CASE("kinds that Leat does not read are passed over, but mesh configuration without effect is named") {
  const Parsed parsed = parse_here(R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: v}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: w}
---
apiVersion: v2
kind: Pod
metadata: {name: p}
---
kind: Pod
metadata: {}
---
- a list
)");
  CHECK(findings_of(parsed) ==
        "6 warning Sidecar v kind: Sidecar of networking.istio.io is not supported yet; the object has "
        "no effect\n"
        "10 warning Widget w kind: unknown kind; the object has no effect\n"
        "13 error Pod p apiVersion: must be one of: v1; not 'v2'; the object is left out\n"
        "17 error Pod  apiVersion: must be one of: v1; not ''; the object is left out\n"
        "20 error  : must be a Kubernetes object, a mapping with apiVersion, kind and metadata\n");
  CHECK(parsed.documents == 6);
}

TEST_CASE("what is no name gets into no key, file or identity") {
  for (const char* metadata : {"{name: 'a b'}", "{name: A}", "{name: a/b}", "{name: a, namespace: ../x}",
                               "{name: a, uid: 'x\\ny'}", "{name: ''}", "{name: {}}", "{}"}) {
    CAPTURE(metadata);
    const Parsed parsed = parse_here(fmt::format("apiVersion: v1\nkind: Pod\nmetadata: {}\n", metadata));
    CHECK(parsed.objects.empty());
    CHECK_FALSE(parsed.whole);
    CHECK_FALSE(parsed.findings.empty());
  }
  CHECK(parse_here("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {serviceAccountName: a/sa/b}\n")
            .objects.empty());
}

TEST_CASE("settings that make no sense are named, and the others hold") {
  const Parsed parsed = parse_here(
      "apiVersion: leat.dev/v1alpha1\nkind: Mesh\nmetadata: {name: default}\n"
      "spec: {connectTimeout: 0s, certificateLifetime: 48h, sameNode: both, drainTimeout: 7s}\n");
  CHECK(parsed.findings.size() == 3);
  const v1::MeshSettings& settings = std::get<Mesh>(parsed.objects.at(0)).settings;
  CHECK(settings.connect_timeout_ms() == 5000);
  CHECK(settings.certificate_lifetime_s() == 12 * 3600);
  CHECK(settings.same_node() == v1::SAME_NODE_DIRECT);
  CHECK(settings.drain_timeout_ms() == 7000);
}

TEST_CASE("a kubectl List is its items; JSON is read like YAML") {
  const Parsed parsed = parse_here(R"({"apiVersion": "v1", "kind": "List", "items": [
	{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}},
	{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "namespace": "c"}}
]})");
  CHECK(findings_of(parsed).empty());
  REQUIRE(parsed.objects.size() == 2);
  CHECK(key_of(parsed.objects[0]) == ObjectKey{Namespace::kKind, {"", "a"}});
  CHECK(key_of(parsed.objects[1]) == ObjectKey{Pod::kKind, {"c", "b"}});
}

TEST_CASE("a List that has itself in it, and YAML nested without end, are findings") {
  const Parsed own = parse_here("&list\napiVersion: v1\nkind: List\nitems: [*list]\n");
  CHECK(findings_of(own) ==
        "1 error  : too deep, or its aliases repeat too much; what this document said before stays in force\n");
  CHECK_FALSE(parse_here(std::string(100'000, '[')).whole);
}

TEST_CASE("an object without a namespace takes the default, cluster-scoped kinds have none") {
  const Parsed parsed = parse_here(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n, namespace: "
      "x}\n");
  CHECK(meta_of(parsed.objects.at(0)).name == Name{"shop", "p"});
  CHECK(meta_of(parsed.objects.at(1)).name == Name{"", "n"});
}

TEST_CASE("a field given twice is named, and the first one counts") {
  const Parsed parsed =
      parse_here("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  nodeName: a\n  nodeName: b\n");
  CHECK(findings_of(parsed) == "6 error Pod shop/p spec.nodeName: given twice; the first one counts\n");
  CHECK(std::get<Pod>(parsed.objects.at(0)).node == "a");
}

TEST_CASE("text that is empty, or comments only, is no object and no finding") {
  for (const char* text : {"", "\n", "# nothing\n", "---\n---\n", "---", "--- # c\n"}) {
    CAPTURE(text);
    const Parsed parsed = parse_here(text);
    CHECK(parsed.objects.empty());
    CHECK(parsed.findings.empty());
    CHECK(parsed.whole);
  }
}

TEST_CASE("a document that is not UTF-8 is refused with its line, and those beside it are read") {
  const Parsed parsed = parse_here(
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"a\xff\"}\n---\n"
      "apiVersion: v1\nkind: Namespace\nmetadata: {name: ok}\n");
  CHECK(parsed.objects.size() == 1);
  REQUIRE(parsed.findings.size() == 1);
  CHECK(parsed.findings[0].message().contains("line 3 of it is not UTF-8"));
  CHECK_FALSE(parsed.whole);
}

TEST_CASE("durations are read as Go writes them") {
  CHECK(parse_duration_ms("5s") == 5000);
  CHECK(parse_duration_ms("1h30m") == 5'400'000);
  CHECK(parse_duration_ms("1m500ms") == 60'500);
  CHECK(parse_duration_ms("0s") == 0);
  for (const char* text : {"", "5", "s", "-5s", "5 s", "1.5s", "5d", "99999999h", "18446744073709551616s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration_ms(text));
  }
}

}  // namespace leat::control
