// However the objects came to be what they are, an incremental compilation of them is to the letter what a compilation
// from nothing is: edits at random in a small world, where names, addresses and hosts collide often. A new kind, and a
// new field that other objects' compilation may depend on, belongs into kWorld.
//   LEAT_SEED=N LEAT_STEPS=N unit_control -tc='*to the letter*'      one sequence again, or longer ones
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "control/compile.h"
#include "control/delta.h"
#include "control/parse.h"

namespace leat::control {
namespace {

// What an object may look like: a document in which "<a|b|c>" is one of these, and may hold others in its turn. The
// name, too, is drawn from few.
constexpr std::string_view kWorld[] = {
    R"(apiVersion: v1
kind: Namespace
metadata: {name: <shop|team>, labels: {leat.dev/mesh: <enabled|enabled|enabled|disabled|perhaps>, tier: <x|y>}})",
    R"(apiVersion: v1
kind: Node
metadata: {name: <node-a|node-b|node-c>, labels: {topology.kubernetes.io/region: <r1|r2>, topology.kubernetes.io/zone: <z1|z2>}})",
    R"(apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: <sandbox|plain>}
handler: <runc|runc|kata-qemu|urunc>)",
    R"(apiVersion: leat.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec: {sameNode: <direct|direct|proxy>, <sandboxedRuntimes: [urunc], ||> tracing: {otlpEndpoint: "http://<one.shop|two.team>:80/v1"}})",
    // Pods: of this node, of others, with addresses and uids that others have too.
    R"(apiVersion: v1
kind: Pod
metadata: {name: pod-<1|2|3|4|5|6>, namespace: <shop|shop|team>, <uid: uid-<1|2|3|4|5|6>, |>labels: {app: <one|one|two|three>, version: <v1|v2><, leat.dev/mesh: disabled|||||>}, annotations: {<leat.dev/netns: /n/<1|2|3>||leat.dev/netns: /n/4>}<, creationTimestamp: "2026-01-0<1|2|3>T00:00:00Z"|>}
spec: {nodeName: <node-a|node-a|node-a|node-b|node-b|node-d>, serviceAccount: <one|two>, containers: [{name: c, ports: [{name: <web|api>, containerPort: <8080|8081|15008>}]}]}
status: {phase: <Running|Running|Running|Pending>, podIP: 10.1.0.<1|2|3|4|5|6>, <podIPs: [{ip: 10.1.0.<1|2|3>}, {ip: "fd00::<1|2>"}], |>conditions: [{type: Ready, status: "<True|True|False>"}]})",
    R"(apiVersion: v1
kind: Pod
metadata: {name: pod-<1|2|3|4|5|6>, namespace: shop, uid: uid-<1|2|3|4|5|6>, labels: {app: <one|two>, version: <v1|v2>}, annotations: {leat.dev/netns: /n/<1|2|3>, leat.dev/exclude-outbound-ports: "<80|443|none>"}}
spec: {nodeName: <node-a|node-b><, runtimeClassName: <sandbox|plain|kata>||>}
status: {podIP: 10.1.0.<1|2|3|4|5|6|7|8>})",
    R"(apiVersion: leat.dev/v1alpha1
kind: NodeWorkloads
metadata: {name: <b-0|b-1|c-0>}
spec:
  node: <node-b|node-b|node-c|node-a>
  workloads:
  - {namespace: <shop|team>, name: pod-<1|2|3|7|8>, uid: uid-<1|2|7|8>, addresses: [10.1.0.<1|2|7|8>], labels: {app: <one|two>, version: <v1|v2>}, serviceAccount: <one|two>}
  - {namespace: shop, name: pod-<7|8|9>, uid: uid-<7|8|9>, addresses: [10.1.0.<6|7|8|9>, "fd00::<1|2|9>"], labels: {app: <one|two>}, terminating: <true|false>})",
    // Services: several that want one address, with selectors or slices.
    R"(apiVersion: v1
kind: Service
metadata: {name: <one|two|three|four>, namespace: <shop|shop|team>, annotations: {leat.dev/load-balancing: <round-robin|random|nonsense>}}
spec: {clusterIP: <10.96.0.1|10.96.0.2|10.96.0.3|10.96.0.4|10.1.0.1|None>, selector: {app: <one|two|three>}, sessionAffinity: <None|None|ClientIP>, publishNotReadyAddresses: <true|false>, ports: [{name: <http|http|tcp|plain>, port: <80|80|81>, targetPort: <8080|web|api>}<, {name: tcp-too, port: 90}|>]<, trafficDistribution: PreferClose||>})",
    R"(apiVersion: v1
kind: Service
metadata: {name: <one|two|three|four>, namespace: <shop|team>}
spec: {clusterIP: 10.96.0.<1|2|3|4>, ports: [{name: <http|tcp>, port: <80|81>}]})",
    R"(apiVersion: v1
kind: Service
metadata: {name: <one|four>, namespace: <shop|team>}
spec: {type: ExternalName, externalName: away.example.com})",
    R"(apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: slice-<1|2|3|4>, namespace: <shop|shop|team>, labels: {kubernetes.io/service-name: <one|two|three|none>}}
addressType: IPv4
ports: [{name: <http|tcp>, port: <8080|8081>}]
endpoints:
- {addresses: [10.1.0.<1|2|3|4|5|6|7|8|9>], nodeName: <node-a|node-b|node-c>, zone: <z1|z2>, conditions: {ready: <true|false>}}
- {addresses: [10.1.0.<1|2|3|4|5|6|7|8|9>]<, hints: {forZones: [{name: <z1|z2>}]}|>, conditions: {serving: <true|false>, terminating: <true|false>}})",
    R"(apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: <default|special|other>, namespace: <shop|team|leat-system>}
spec: {<selector: {matchLabels: {app: <one|two|none>}}, |>mtls: {mode: <STRICT|PERMISSIVE|DISABLE>}})",
    R"(apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: <default|special|other>, namespace: <shop|team|leat-system>}
spec: {<selector: {matchLabels: {app: <one|two|none>}}, |>tracing: [{randomSamplingPercentage: <1|50>}]})",
    R"(apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: <np-1|np-2>, namespace: <shop|team>}
spec: {podSelector: {matchLabels: {app: <one|two>}}, ingress: [{from: [{<podSelector: {matchLabels: {app: <one|two>}}|namespaceSelector: {matchLabels: {tier: <x|y>}}>}], ports: [{port: <8080|15008|web|api>}]}]})",
    // Routing.
    R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule-<1|2|3>, namespace: <shop|team|leat-system>, creationTimestamp: "2026-01-0<1|2>T00:00:00Z"}
spec: {host: "<one|two|one.shop|two.team.svc.cluster.local|*.shop.svc.cluster.local|nobody|ext.example.com>", <exportTo: ["<*|.|team|shop>"], ||><workloadSelector: {<matchLabels: {app: <one|two>}|>}, |||>trafficPolicy: {loadBalancer: {simple: <ROUND_ROBIN|RANDOM>}<, outlierDetection: {consecutive5xxErrors: 3}||>}, subsets: [{name: <v1|v2>, labels: {version: <v1|v2|v3>}}]})",
    R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs-<1|2|3|4>, namespace: <shop|team>, creationTimestamp: "2026-01-0<1|2>T00:00:00Z"}
spec:
  hosts: ["<one|two|three.shop|two.team|*.shop.svc.cluster.local|nobody|ext.example.com>"]
  exportTo: ["<*|*|.|team>"]
  http:
  - {match: [{uri: {prefix: /<a|b>}}], route: [{destination: {host: <one|two|four|nobody>, subset: <v1|v2>}, weight: <10|90>}, {destination: {host: <two|three.shop|ext.example.com>}, weight: 10}]}
  - {<route: [{destination: {host: <one|two.team>}}]|delegate: {name: vs-<d|e>, namespace: <shop|team>}|redirect: {uri: /x}>})",
    R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs-<d|e>, namespace: <shop|team>}
spec: {<hosts: [three], |>exportTo: ["<*|.>"], http: [{match: [{uri: {prefix: /<a|b>/<c|d>}}], route: [{destination: {host: <one|two|four>, subset: <v1|v2>}}]}]})",
    // Routes for connections, servers outside that share addresses or are found by name, and TLS to them.
    R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs-<1|2|5|6>, namespace: <shop|team>, creationTimestamp: "2026-01-0<1|2>T00:00:00Z"}
spec:
  hosts: ["<one|two|four.shop|*.shop.svc.cluster.local|ext.example.com|dns.example.com>"]
  exportTo: ["<*|*|.|team>"]
  <tls: [{match: [{sniHosts: [<a|b>.example.com]<, port: <80|90>|>}], route: [{destination: {host: <one|two|dns.example.com|nobody>}}]}]|>
  <tcp: [{<match: [{port: <80|90|81>}], |>route: [{destination: {host: <one|two|four|ext.example.com>, subset: <v1|v2>}, weight: 3}, {destination: {host: <two|dns.example.com>}, weight: 1}]}]|tcp: [{route: [{destination: {host: one}}]}]|>
  <http: [{route: [{destination: {host: <one|two>}}]}]||>)",
    R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entry-<1|2|3|4>, namespace: <shop|team>, creationTimestamp: "2026-01-0<1|2>T00:00:00Z"}
spec:
  hosts: [<dns.example.com|ext.example.com|a.example.com><, b.example.com|, "*.example.com"|>]
  <addresses: [10.97.0.<1|2>, 10.97.0.<1|2|3>]|addresses: [10.96.0.<1|2|3>]||>
  resolution: <DNS|DNS|DNS_ROUND_ROBIN|NONE|STATIC>
  location: <MESH_EXTERNAL|MESH_INTERNAL>
  <exportTo: ["<*|.|team>"]|>
  <subjectAltNames: [proved.example.com]|>
  ports: [{number: 80, name: <http|tls|tcp>, protocol: <HTTP|TLS|TCP>}<, {number: 443, name: more, protocol: TLS}|>]
  <endpoints: [{address: <to.example.net|10.1.0.<1|2|9>>, labels: {version: <v1|v2>}, locality: <r1/z1|r2/z2>}]|workloadSelector: {labels: {app: <one|two>}}||>)",
    R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule-<1|2|3|4>, namespace: <shop|team>, creationTimestamp: "2026-01-0<1|2>T00:00:00Z"}
spec: {host: "<one|two|dns.example.com|ext.example.com|a.example.com|*.example.com>", <exportTo: ["<.|team>"], ||>trafficPolicy: {<loadBalancer: {simple: PASSTHROUGH}, |>tls: {mode: <SIMPLE|MUTUAL|ISTIO_MUTUAL|DISABLE><, credentialName: <first|second>|, caCertificates: /tls/<ca|other>, clientCertificate: /tls/crt, privateKey: /tls/<crt|other>|>}}, subsets: [{name: <v1|v2>, labels: {version: <v1|v2>}<, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /tls/<ca|other>}}|>}]})",
    R"(apiVersion: v1
kind: Secret
metadata: {name: <first|second>, namespace: <shop|team>}
stringData: {<tls.crt: certificate-<1|2>, |>tls.key: key-<1|2><, ca.crt: ca-<1|2>|>})",
    R"(apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: entry-<1|2>, namespace: <shop|team>}
spec: {hosts: [<ext.example.com|one.shop|other.example.com>], addresses: [10.<97|96>.0.<1|2>], location: MESH_EXTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], <endpoints: [{address: 10.1.0.<1|2|9>}]|workloadSelector: {labels: {app: <one|two>}}>})",
    R"(apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route-<1|2>, namespace: <shop|team>}
spec: {parentRefs: [{group: "", kind: Service, name: <one|two|three>, namespace: <shop|team><, port: <80|81>|>}], rules: [{backendRefs: [{name: <one|two>, namespace: <shop|team>, port: <80|81>}]}]})",
    R"(apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: route-<1|2>, namespace: <shop|team>}
spec: {parentRefs: [{group: "", kind: Service, name: <one|two|three>, namespace: <shop|team>}], rules: [{backendRefs: [{name: <one|four>, namespace: <shop|team>, port: 80}]}]})",
    R"(apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: grant-<1|2>, namespace: <shop|team>}
spec: {from: [{group: gateway.networking.k8s.io, kind: <HTTPRoute|GRPCRoute>, namespace: <shop|team>}], to: [{group: "", kind: Service<, name: <one|two>|>}]})",
};

class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  uint32_t below(size_t limit) {
    return std::uniform_int_distribution<uint32_t>(0, static_cast<uint32_t>(limit) - 1)(engine_);
  }

  // `text` with one of each "<a|b>", from the outermost inwards.
  std::string draw(std::string_view text) {
    std::string drawn;
    while (!text.empty()) {
      const size_t open = std::min(text.find('<'), text.size());
      drawn += text.substr(0, open);
      text.remove_prefix(open);
      if (text.empty()) break;
      std::vector<std::string_view> choices;
      size_t depth = 0, begin = 1, end = 0;
      for (size_t i = 0; i < text.size() && end == 0; ++i) {
        if (text[i] == '<') ++depth;
        if (text[i] == '|' && depth == 1) choices.push_back(text.substr(begin, i - begin)), begin = i + 1;
        if (text[i] == '>' && --depth == 0) end = i;
      }
      choices.push_back(text.substr(begin, end - begin));
      drawn += draw(choices[below(choices.size())]);
      text.remove_prefix(end + 1);
    }
    return drawn;
  }

 private:
  std::mt19937 engine_;
};

std::string text_of(const google::protobuf::Message& message) { return message.ShortDebugString(); }

std::string text_of(const PlannedAlias& alias) {
  return fmt::format("{} {}{} {}", alias.id, alias.address.text(), alias.destination ? " destination" : "",
                     alias.pod_index);
}

std::string text_of(const DirectService& direct) {
  std::string text = fmt::format("{}:{} +{} {}", direct.alias_id, direct.port, direct.remote_endpoints,
                                 direct.remote_alias_id.value_or(0));
  for (const DirectEndpoint& to : direct.local)
    text += fmt::format(" {}:{}/{}", to.address.text(), to.port, to.pod_index);
  return text;
}

std::string text_of(const PlannedPod& pod) {
  std::string text = fmt::format("{} {} {} {} {} {}", pod.uid, pod.name.text(), pod.index, pod.netns_path,
                                 static_cast<int>(pod.mtls), fmt::join(pod.exclusions.outbound_ports, ","));
  for (const IpAddress& address : pod.addresses) text += " " + address.text();
  for (const auto& [port, mode] : pod.port_mtls) text += fmt::format(" {}={}", port, static_cast<int>(mode));
  return text;
}

// A line a thing, so that a difference can be read.
std::vector<std::string> lines_of(const CompiledMesh& compiled) {
  std::vector<std::string> lines{"settings " + text_of(compiled.mesh.settings())};
  const auto add = [&](std::string_view what, const auto& list) {
    for (const auto& each : list) lines.push_back(fmt::format("{} {}", what, text_of(each)));
  };
  add("workload", compiled.mesh.workloads());
  add("service", compiled.mesh.services());
  add("alias", compiled.mesh.aliases());
  add("secret", compiled.mesh.tls_secrets());
  add("planned pod", compiled.plan.pods);
  add("planned alias", compiled.plan.aliases);
  add("direct", compiled.plan.services);
  lines.push_back(v1::SameNode_Name(compiled.plan.same_node));
  for (const LocalPod& pod : compiled.local_pods)
    lines.push_back(fmt::format("local {} {} {}", pod.enrolled, pod.reason, text_of(pod.workload)));
  add("finding", compiled.findings);
  add("status", compiled.route_statuses);
  return lines;
}

std::string difference(const std::vector<std::string>& left, const std::vector<std::string>& right) {
  std::string text;
  for (const std::string& line : left)
    if (std::ranges::find(right, line) == right.end()) text += "\n  only incremental:   " + line;
  for (const std::string& line : right)
    if (std::ranges::find(left, line) == left.end()) text += "\n  only from nothing:  " + line;
  return text.empty() && left != right ? "\n  another order" : text;
}

// A node that compiles each edit, and follows the model and the plan by what it is told of changes.
class World {
 public:
  explicit World(uint32_t seed) : dice_(seed) {}

  void edit() {
    if (dice_.below(4) == 0) return lease();
    if (dice_.below(6) == 0) return find_out();
    const std::string text = dice_.draw(kWorld[dice_.below(std::size(kWorld))]);
    Parsed parsed = parse(text, "world.yaml", "default");
    INFO(text);
    REQUIRE(parsed.objects.size() == 1);
    const ObjectKey key = key_of(parsed.objects[0]);
    said_ += "\n---\n" + text;
    if (dice_.below(3) == 0) {
      said_ += "\n(removed)";
      objects_.remove(key);
    } else {
      objects_.put(std::move(parsed.objects[0]));
    }
  }

  void compile() {
    const Update update = compiler_.update(objects_);
    if (update.everything) {
      model_ = compiler_.mesh();
      for (const PlannedAlias& alias : compiler_.aliases()) {
        aliases_.emplace(alias.id, text_of(alias));
      }
      reachable_ = reachable();
    } else {
      apply(model_, update.mesh);
      for (const PlannedAlias& alias : update.aliases) aliases_[alias.id] = text_of(alias);
      for (const uint32_t id : update.removed_aliases) CHECK(aliases_.erase(id) == 1);
    }
    check(update);
  }

 private:
  // As the agent does with what objects name: hosts that it resolves, and files that it reads.
  void find_out() {
    Object found;
    if (dice_.below(2) == 0) {
      HostAnswer answer{
          .meta = {.name = {"", dice_.draw("<dns|ext|a|b>.example.com")}}, .addresses = {}, .problem = {}};
      if (dice_.below(4) == 0) answer.meta.name.name = "to.example.net";
      for (uint32_t i = dice_.below(3); i > 0; --i)
        answer.addresses.push_back(
            *IpAddress::parse(dice_.draw("<10.97.0.<1|2|3>|10.96.0.<1|2>|10.1.0.<1|9>|fd00::1>")));
      if (answer.addresses.empty()) answer.problem = dice_.draw("<there is no such host|no answer>");
      found = std::move(answer);
    } else {
      TlsFile file{.meta = {.name = {"", dice_.draw("/tls/<ca|crt|other>")}},
                   .content = dice_.draw("<content-1|content-2|>"),
                   .problem = {}};
      if (file.content.empty()) file.problem = "is empty";
      found = std::move(file);
    }
    said_ += fmt::format("\n---\n{} {}", kind_of(found), meta_of(found).name.name);
    if (dice_.below(4) == 0) {
      said_ += "\n(removed)";
      objects_.remove(key_of(found));
    } else {
      if (const auto* answer = std::get_if<HostAnswer>(&found)) {
        for (const IpAddress& address : answer->addresses) said_ += " " + address.text();
      }
      objects_.put(std::move(found));
    }
  }

  // As the agent does for clients outside the model.
  void lease() {
    if (!leased_.empty() && dice_.below(2) == 0) {
      const auto gone = std::next(leased_.begin(), dice_.below(leased_.size()));
      books_.aliases.release(*gone);
      leased_.erase(gone);
      return;
    }
    const AliasKey key{*IpAddress::parse(dice_.draw("10.1.0.<1|2|3|4|5|6|7|8|9>"))};
    if (leased_.insert(key).second) CHECK(books_.aliases.hold(key).has_value());
  }

  [[nodiscard]] std::set<uint32_t> reachable() const {
    std::set<uint32_t> ids;
    for (const v1::Alias& alias : model_.aliases()) {
      if (alias.target_case() != v1::Alias::TARGET_NOT_SET) ids.insert(alias.id());
    }
    return ids;
  }

  void check(const Update& update) {
    CompiledMesh incremental{.mesh = compiler_.mesh(),
                             .plan = compiler_.local_plan(),
                             .local_pods = compiler_.local_pods(),
                             .findings = compiler_.findings(),
                             .route_statuses = compiler_.route_statuses()};
    incremental.plan.aliases = compiler_.aliases();
    Books books = books_;
    const std::vector<std::string> lines = lines_of(incremental);
    const std::vector<std::string> wanted = lines_of(Compiler("node-a", books).compile(objects_));
    const std::string differs = difference(lines, wanted);
    REQUIRE_MESSAGE(differs.empty(), differs, said_);

    CHECK_MESSAGE(lines_of({.mesh = model_}) == lines_of({.mesh = incremental.mesh}), "the delta is wrong", said_);
    std::map<uint32_t, std::string> aliases;
    for (const PlannedAlias& alias : incremental.plan.aliases) aliases.emplace(alias.id, text_of(alias));
    CHECK(aliases_ == aliases);

    const std::set<uint32_t> before = std::exchange(reachable_, reachable());
    for (const uint32_t id : reachable_) {
      const bool said = update.everything || std::ranges::find(update.opened, id) != update.opened.end();
      if (!before.contains(id)) CHECK(said);
    }
    CHECK((update.findings || update.everything || last_findings_ == compiler_.findings().size()));
    last_findings_ = compiler_.findings().size();
    const std::string local = fmt::format("{}", fmt::join(lines_of({.plan = compiler_.local_plan()}), "\n"));
    CHECK((update.local || local == local_));
    local_ = local;
    said_.clear();
  }

  Dice dice_;
  ObjectSet objects_;
  Books books_{.aliases = AliasBook(AliasBook::kIds, 6), .pods = {}};
  Compiler compiler_{"node-a", books_};
  std::set<AliasKey> leased_;
  std::string said_;  // the edits since the last compilation
  v1::Mesh model_;
  std::map<uint32_t, std::string> aliases_;
  std::set<uint32_t> reachable_;
  size_t last_findings_ = 0;
  std::string local_;
};

size_t number_of(const char* variable, size_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace

TEST_CASE("an incremental compilation is to the letter what a compilation from nothing is") {
  const size_t steps = number_of("LEAT_STEPS", 300);
  const size_t only = number_of("LEAT_SEED", 0);
  const size_t first = only != 0 ? only : std::random_device()() % 1'000'000 + 1;
  for (size_t seed = first; seed < first + (only != 0 ? 1 : 6); ++seed) {
    CAPTURE(seed);
    World world(static_cast<uint32_t>(seed));
    std::mt19937 pace(static_cast<uint32_t>(seed));
    for (size_t step = 0; step < steps; ++step) {
      CAPTURE(step);
      for (size_t edits = 1 + pace() % 3; edits > 0; --edits) world.edit();
      world.compile();
    }
  }
}

}  // namespace leat::control
