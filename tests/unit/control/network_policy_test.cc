// Which NetworkPolicies would break the mesh: each case is a policy, and the rules that are named.
#include "control/network_policy.h"

#include <algorithm>

#include <doctest/doctest.h>

#include <fmt/format.h>

#include "control/compile.h"
#include "control/parse.h"

namespace leat::control {
namespace {

// Enrolled: shop/frontend, shop/backend-0, shop/backend-1, names/dns. Outside: watch/prometheus, shop/legacy.
constexpr std::string_view kCluster = R"(
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {leat.dev/mesh: enabled, team: a}}
---
apiVersion: v1
kind: Namespace
metadata: {name: names, labels: {leat.dev/mesh: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: watch}
---
)";

std::string pod(std::string_view ns, std::string_view name, std::string_view app, std::string_view address,
                std::string_view ports, std::string_view more_labels = "") {
  return fmt::format(
      "apiVersion: v1\nkind: Pod\nmetadata: {{name: {1}, namespace: {0}, labels: {{app: {2}{5}}}, annotations: "
      "{{leat.dev/netns: /n/{1}}}}}\nspec: {{nodeName: node-a, containers: [{{name: app, ports: [{4}]}}]}}\n"
      "status: {{podIP: {3}}}\n---\n",
      ns, name, app, address, ports, more_labels);
}

std::string cluster() {
  return std::string(kCluster) + pod("shop", "frontend", "frontend", "10.1.0.1", "") +
         pod("shop", "backend-0", "backend", "10.1.0.2",
             "{name: http, containerPort: 8080}, {name: tunnel, containerPort: 15008}, {name: one, containerPort: "
             "15008}") +
         pod("shop", "backend-1", "backend", "10.1.0.3",
             "{name: http, containerPort: 8080}, {name: tunnel, containerPort: 15008}, {name: one, containerPort: 80}",
             ", tier: fast") +
         pod("shop", "legacy", "legacy", "10.1.0.4", "", ", leat.dev/mesh: disabled") +
         pod("names", "dns", "dns", "10.2.0.1", "{containerPort: 53}") +
         pod("watch", "prometheus", "prometheus", "10.3.0.1", "");
}

std::string policy(std::string_view name, std::string_view spec, std::string_view ns = "shop") {
  return fmt::format(
      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {}, namespace: {}}}\nspec: {}\n---\n",
      name, ns, spec);
}

CompiledMesh compile(const std::string& policies) {
  ObjectSet objects;
  Parsed parsed = parse(cluster() + policies, "f.yaml", "default");
  CHECK(parsed.findings.empty());
  for (Object& object : parsed.objects) objects.put(std::move(object));
  Books books;
  return Compiler("node-a", books).compile(objects);
}

// "a spec.ingress[0].ports; b spec.egress[1].ports"
std::string named(const std::string& policies) {
  std::string text;
  for (const v1::Finding& finding : compile(policies).findings) {
    const std::string_view object = finding.object();
    text += fmt::format("{}{} {}", text.empty() ? "" : "; ", object.substr(object.find('/') + 1), finding.field());
  }
  return text;
}

std::string to_backend(std::string_view ingress) {
  return policy("p", fmt::format("{{podSelector: {{matchLabels: {{app: backend}}}}, ingress: {}}}", ingress));
}
std::string from_frontend(std::string_view egress) {
  return policy(
      "p",
      fmt::format("{{podSelector: {{matchLabels: {{app: frontend}}}}, policyTypes: [Egress], egress: {}}}", egress));
}

constexpr char kIngress[] = "p spec.ingress[0].ports";
constexpr char kEgress[] = "p spec.egress[0].ports";

// What is wrong with a policy that can't be read.
std::string unreadable(std::string_view spec) {
  const Parsed parsed = parse(policy("p", spec), "f.yaml", "default");
  CHECK(parsed.whole);  // the rest of the file must not wait for it
  CHECK(parsed.objects.size() == 1);
  std::string text;
  for (const v1::Finding& finding : parsed.findings) {
    CHECK(finding.severity() == "error");
    if (finding.field() != "spec") text += fmt::format("{}: {}", finding.field(), finding.message());
  }
  CHECK(parsed.findings.size() == 2);  // the other one says that the policy is not judged
  return text;
}

}  // namespace

TEST_CASE("the finding names the policy and its place, whom it hits, what happens and the cure") {
  const CompiledMesh compiled = compile(R"(apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: backend, namespace: shop}
spec:
  podSelector: {matchLabels: {app: backend}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{podSelector: {matchLabels: {app: frontend}}}]
      ports:
        - {protocol: TCP, port: 8080}
    - from: [{ipBlock: {cidr: 10.2.0.0/16}}]
      ports: [{port: 8081}]
    - ports: [{port: 8082}]
  egress:
    - ports: [{port: 5432}]
)");
  REQUIRE(compiled.findings.size() == 2);
  const v1::Finding& ingress = compiled.findings[0];
  const int first_line = static_cast<int>(std::ranges::count(cluster(), '\n'));
  CHECK(ingress.file() == "f.yaml");
  CHECK(ingress.line() == first_line + 10);
  CHECK(ingress.severity() == "warning");
  CHECK(ingress.object() == "NetworkPolicy shop/backend");
  CHECK(ingress.field() == "spec.ingress[0].ports");
  CHECK(ingress.message() ==
        "TCP port 15008 is missing: Leat's tunnels from this rule's peers to the pods that the policy selects (2 of "
        "the mesh's 4 enrolled ones) are dropped, and their connections fail after the connect timeout; add "
        "- {protocol: TCP, port: 15008} here: the peers stay as they are, but inside a tunnel the policy limits no "
        "ports; the same for spec.ingress[1].ports, spec.ingress[2].ports");
  const v1::Finding& egress = compiled.findings[1];
  CHECK(egress.line() == first_line + 15);
  CHECK(egress.field() == "spec.egress[0].ports");
  CHECK(egress.message() ==
        "TCP port 15008 is missing: Leat's tunnels from the pods that the policy selects (2 of the mesh's 4 enrolled "
        "ones) to this rule's peers are dropped, and their connections fail after the connect timeout; add "
        "- {protocol: TCP, port: 15008} here: the peers stay as they are, but inside a tunnel the policy limits no "
        "ports");
}

TEST_CASE("a policy changes nothing in the model or the plan") {
  const CompiledMesh with = compile(to_backend("[{ports: [{port: 8080}]}]"));
  const CompiledMesh without = compile("");
  CHECK(with.mesh.DebugString() == without.mesh.DebugString());
  CHECK(with.plan.pods.size() == without.plan.pods.size());
  CHECK(without.findings.empty());
}

TEST_CASE("ports: what lets a tunnel pass") {
  for (const char* ports :
       {"[{port: 8080}]", "[{protocol: TCP, port: 8080}]", "[{port: http}]", "[{port: 8000, endPort: 15007}]",
        "[{port: 15009, endPort: 16000}]", "[{protocol: UDP, port: 15008}, {port: 8080}]", "[{port: one}]"}) {
    CAPTURE(ports);
    CHECK(named(to_backend(fmt::format("[{{ports: {}}}]", ports))) == kIngress);
  }
  for (const char* ports :
       {"[]", "null", "[{port: 15008}]", "[{port: 8080}, {protocol: TCP, port: 15008}]", "[{protocol: TCP}]",
        "[{port: 15000, endPort: 15008}]", "[{port: 1, endPort: 65535}]", "[{port: tunnel}]"}) {
    CAPTURE(ports);
    CHECK(named(to_backend(fmt::format("[{{ports: {}}}]", ports))).empty());
  }
  CHECK(named(to_backend("[{}]")).empty());
}

TEST_CASE("what a policy means to keep out is no finding") {
  CHECK(named(to_backend("[]")).empty());
  CHECK(named(policy("p", "{podSelector: {}}")).empty());
  CHECK(named(policy("p", "{podSelector: {}, policyTypes: [Ingress, Egress]}")).empty());
  CHECK(named(to_backend("[{ports: [{protocol: UDP, port: 53}, {protocol: SCTP, port: 9}]}]")).empty());
}

TEST_CASE("policyTypes say which direction is limited; without them egress is where it has rules") {
  const auto both = [](std::string_view types) {
    return named(policy("p", fmt::format("{{podSelector: {{}}, {} ingress: [{{ports: [{{port: 1}}]}}], egress: "
                                         "[{{ports: [{{port: 2}}]}}]}}",
                                         types)));
  };
  CHECK(both("") == "p spec.egress[0].ports; p spec.ingress[0].ports");
  CHECK(both("policyTypes: [],") == "p spec.egress[0].ports; p spec.ingress[0].ports");
  CHECK(both("policyTypes: [Ingress],") == kIngress);
  CHECK(both("policyTypes: [Egress],") == kEgress);
}

TEST_CASE("the policy must select enrolled pods of its own namespace") {
  const auto selecting = [](std::string_view selector, std::string_view ns = "shop") {
    return !named(policy("p", fmt::format("{{podSelector: {}, ingress: [{{ports: [{{port: 1}}]}}]}}", selector), ns))
                .empty();
  };
  CHECK(selecting("{}"));
  CHECK(selecting("null"));
  CHECK(selecting("{matchLabels: {app: backend}}"));
  CHECK(selecting("{matchExpressions: [{key: app, operator: In, values: [a, backend]}]}"));
  CHECK(selecting("{matchExpressions: [{key: none, operator: NotIn, values: [x]}]}"));
  CHECK(selecting("{matchExpressions: [{key: tier, operator: Exists}]}"));
  CHECK(selecting("{matchExpressions: [{key: none, operator: DoesNotExist}]}"));

  CHECK_FALSE(selecting("{matchLabels: {app: legacy}}"));
  CHECK_FALSE(selecting("{matchLabels: {app: dns}}"));
  CHECK_FALSE(selecting("{}", "watch"));
  CHECK_FALSE(selecting("{}", "nowhere"));
  CHECK_FALSE(
      selecting("{matchLabels: {app: backend}, matchExpressions: [{key: app, operator: Exists}, {key: none, "
                "operator: Exists}]}"));
  CHECK_FALSE(selecting("{matchExpressions: [{key: none, operator: In, values: [x]}]}"));
  CHECK_FALSE(selecting("{matchExpressions: [{key: app, operator: NotIn, values: [frontend, backend, legacy]}]}"));
  CHECK_FALSE(selecting("{matchExpressions: [{key: app, operator: DoesNotExist}]}"));
}

TEST_CASE("a rule counts if an enrolled pod is among its peers") {
  const auto counts = [](std::string_view peer) {
    const std::string rule = fmt::format("[{}], ports: [{{port: 8080}}]", peer);
    const std::string ingress = named(to_backend(fmt::format("[{{from: {}}}]", rule)));
    CHECK(named(from_frontend(fmt::format("[{{to: {}}}]", rule))).empty() == ingress.empty());
    return ingress == kIngress;
  };
  CHECK(counts(""));
  CHECK(counts("{podSelector: {}}"));
  CHECK(counts("{podSelector: {matchLabels: {app: frontend}}}"));
  CHECK(counts("{namespaceSelector: {}}"));
  CHECK(counts("{namespaceSelector: {matchLabels: {team: a}}}"));
  CHECK(
      counts("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: names}}, podSelector: {matchLabels: "
             "{app: dns}}}"));
  CHECK(counts("{ipBlock: {cidr: 0.0.0.0/0}}"));
  CHECK(counts("{ipBlock: {cidr: 10.1.0.0/16, except: [10.1.0.2/32]}}"));
  CHECK(counts("{podSelector: {matchLabels: {app: none}}}, {podSelector: {matchLabels: {app: frontend}}}"));

  CHECK_FALSE(counts("{podSelector: {matchLabels: {app: legacy}}}"));
  CHECK_FALSE(counts("{podSelector: {matchLabels: {app: dns}}}"));
  CHECK_FALSE(counts("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: watch}}}"));
  CHECK_FALSE(
      counts("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: names}}, podSelector: "
             "{matchLabels: {app: frontend}}}"));
  CHECK_FALSE(counts("{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}"));
  CHECK_FALSE(counts("{ipBlock: {cidr: 'fd00::/8'}}"));
}

TEST_CASE("policies add up: what another rule or policy lets pass is no finding") {
  constexpr std::string_view kFrontend =
      "{from: [{podSelector: {matchLabels: {app: frontend}}}], ports: [{port: 8080}]}";
  const auto with = [&](std::string_view other) { return named(to_backend(fmt::format("[{}{}]", kFrontend, other))); };
  CHECK(with("") == kIngress);
  CHECK(with(", {ports: [{port: 15008}]}").empty());
  CHECK(with(", {from: [{namespaceSelector: {}}]}").empty());
  CHECK(with(", {from: [{podSelector: {matchLabels: {app: backend}}}], ports: [{port: 15008}]}") == kIngress);

  const auto beside = [&](std::string_view spec, std::string_view ns = "shop") {
    return named(to_backend(fmt::format("[{}]", kFrontend)) + policy("tunnels", spec, ns));
  };
  CHECK(beside("{podSelector: {}, ingress: [{ports: [{port: 15008}]}]}").empty());
  CHECK(beside("{podSelector: {}, ingress: [{}]}").empty());
  CHECK(beside("{podSelector: {}, ingress: [{ports: [{port: 15008}]}]}", "names") == kIngress);
  CHECK(beside("{podSelector: {matchLabels: {tier: fast}}, ingress: [{ports: [{port: 15008}]}]}") == kIngress);
  CHECK(beside("{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 15008}]}]}") == kIngress);
}

TEST_CASE("asking for names needs no tunnel, unless the server that is asked is in the mesh") {
  constexpr std::string_view kAsk = "ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]";
  const auto asking = [&](std::string_view to) { return named(from_frontend(fmt::format("[{{{}{}}}]", to, kAsk))); };
  CHECK(asking("to: [{podSelector: {}}], ").empty());
  CHECK(asking("to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: watch}}}], ").empty());
  CHECK(asking("to: [{namespaceSelector: {}}], ") == kEgress);
  // Who limits ingress to 53 serves names.
  CHECK(named(to_backend(fmt::format("[{{from: [{{podSelector: {{}}}}], {}}}]", kAsk))) == kIngress);
  CHECK(named(from_frontend("[{ports: [{port: 8080}]}, {}]")).empty());
}

TEST_CASE("a policy that can't be read whole is not judged, and holds nothing back") {
  Parsed parsed = parse(cluster() + to_backend("[{ports: [{port: 8080}, {port: 70000}]}]"), "f.yaml", "default");
  ObjectSet objects;
  for (Object& object : parsed.objects) objects.put(std::move(object));
  Books books;
  CHECK(Compiler("node-a", books).compile(objects).findings.empty());

  CHECK(unreadable("{podSelector: {matchExpressions: [{key: a, operator: Is}]}}") ==
        "spec.podSelector.matchExpressions[0].operator: must be In, NotIn, Exists or DoesNotExist, not 'Is'");
  CHECK(unreadable("{podSelector: {matchExpressions: [{operator: Exists}]}}") ==
        "spec.podSelector.matchExpressions[0].key: missing");
  CHECK(unreadable("{policyTypes: [Inbound]}") == "spec.policyTypes[0]: must be Ingress or Egress, not 'Inbound'");
  CHECK(unreadable("{ingress: [{ports: [{port: 70000}]}]}") ==
        "spec.ingress[0].ports[0].port: must be a port, 1 to 65535, not '70000'");
  CHECK(unreadable("{ingress: [{ports: [{protocol: HTTP}]}]}") ==
        "spec.ingress[0].ports[0].protocol: must be TCP, UDP or SCTP, not 'HTTP'");
  CHECK(unreadable("{ingress: [{ports: [{port: http, endPort: 90}]}]}") ==
        "spec.ingress[0].ports[0].endPort: needs a port that is a number");
  CHECK(unreadable("{egress: [{ports: [{port: 90, endPort: 80}]}]}") ==
        "spec.egress[0].ports[0].endPort: must not be less than port, 90");
  CHECK(unreadable("{ingress: [{from: [{}]}]}") ==
        "spec.ingress[0].from[0]: must have either ipBlock, or podSelector, namespaceSelector or both");
  CHECK(unreadable("{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}") ==
        "spec.ingress[0].from[0]: must have either ipBlock, or podSelector, namespaceSelector or both");
  CHECK(unreadable("{egress: [{to: [{ipBlock: {cidr: ten}}]}]}") ==
        "spec.egress[0].to[0].ipBlock.cidr: must be a CIDR like 10.0.0.0/8, not 'ten'");
}

TEST_CASE("unknown fields of a policy are named, at any depth") {
  const Parsed parsed = parse(policy("p", R"(
  podSelecter: {}
  ingress:
    - form: []
      ports: [{prot: 1}]
    - from: [{podSelector: {matchLabel: {}}}, {ipBlock: {cidr: 10.0.0.0/8, exept: []}}]
  egress:
    - from: [])"),
                              "f.yaml", "default");
  std::string fields;
  for (const v1::Finding& finding : parsed.findings) fields += finding.field() + "\n";
  CHECK(fields ==
        "spec.podSelecter\n"
        "spec.ingress[0].form\n"
        "spec.ingress[0].ports[0].prot\n"
        "spec.ingress[1].from[0].podSelector.matchLabel\n"
        "spec.ingress[1].from[1].ipBlock.exept\n"
        "spec.egress[0].from\n");
}

TEST_CASE("another project's NetworkPolicy stays without effect") {
  const Parsed parsed =
      parse("apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {selector: all()}\n",
            "f.yaml", "default");
  CHECK(parsed.objects.empty());
  CHECK(parsed.findings.empty());
}

}  // namespace leat::control
