#include "agent/sources/kubernetes/object_cache.h"

#include <doctest/doctest.h>

#include <google/protobuf/util/message_differencer.h>

#include "agent/sources/kubernetes/api_json.h"
#include "control/compile.h"
#include "control/parse.h"

using namespace leat::control;
using leat::sources::ObjectCache;
using leat::sources::read_list;

namespace {

struct Cache {
  ObjectCache cache{[](Object&) {}};
  bool list(std::string_view kind, const std::string& items) {
    const Reader& reader = *find_reader(kind);
    bool changed = false;
    cache.begin_list(reader);
    REQUIRE(read_list(R"({"metadata":{"resourceVersion":"1"},"items":[)" + items + "]}",
                      [&](const Value& item) { changed |= cache.put(reader, item); }));
    return cache.end_list(reader) || changed;
  }
  template <typename Kind>
  size_t count() const {
    return cache.objects().all<Kind>().size();
  }
};

constexpr const char* kService =
    R"({"metadata":{"name":"backend","namespace":"shop"},"spec":{"clusterIP":"10.96.0.10","ports":[{"port":80}]}})";

}  // namespace

TEST_CASE("what a list does not name any more is gone, of its own kind only") {
  Cache cache;
  CHECK(cache.list("Service", std::string(kService) + R"(,{"metadata":{"name":"b","namespace":"shop"},"spec":{}})"));
  cache.list("Namespace", R"({"metadata":{"name":"shop"}})");
  CHECK(cache.list("Service", kService));
  CHECK(cache.count<Service>() == 1);
  CHECK(cache.count<Namespace>() == 1);
  CHECK(cache.list("Service", ""));
  CHECK(cache.count<Service>() == 0);
}

TEST_CASE("an object that can't be used leaves its neighbours, and what it said before, in force") {
  Cache cache;
  const auto policy = [](const char* mode) {
    return std::string(R"({"metadata":{"name":"p","namespace":"shop"},"spec":{"mtls":{"mode":")") + mode + R"("}}})";
  };
  cache.list("PeerAuthentication", policy("STRICT") + R"(,{"metadata":{"name":"q","namespace":"shop"},"spec":{}})");
  CHECK(cache.cache.findings().empty());
  cache.list("PeerAuthentication", policy("STRICTEST") + R"(,{"metadata":{"name":"q","namespace":"shop"},"spec":{}})");
  CHECK(cache.count<PeerAuthentication>() == 2);
  CHECK(cache.cache.objects().find<PeerAuthentication>({"shop", "p"})->mode == leat::v1::MTLS_STRICT);
  REQUIRE(cache.cache.findings().size() == 1);
  CHECK(text_of(cache.cache.findings()[0]).starts_with("PeerAuthentication shop/p spec.mtls.mode: must be UNSET"));
  cache.list("PeerAuthentication", policy("PERMISSIVE"));
  CHECK(cache.cache.findings().empty());
}

TEST_CASE("a Node that only renews its status changes nothing; its labels do") {
  Cache cache;
  CHECK(cache.list("Node", R"({"metadata":{"name":"n","labels":{"a":"1"}},"status":{"x":1}})"));
  CHECK_FALSE(cache.list("Node", R"({"metadata":{"name":"n","labels":{"a":"1"}},"status":{"x":2}})"));
  CHECK(cache.list("Node", R"({"metadata":{"name":"n","labels":{"a":"2"}}})"));
}

TEST_CASE("fields that Kubernetes adds to its own kinds are nobody's error, those of a mesh's kinds are named") {
  Cache cache;
  cache.list("Pod", R"({"metadata":{"name":"p","namespace":"shop"},"spec":{"fieldOfTomorrow":1}})");
  CHECK(cache.cache.findings().empty());
  cache.list("PeerAuthentication", R"({"metadata":{"name":"p","namespace":"shop"},"spec":{"mtsl":{}}})");
  CHECK(cache.cache.findings().size() == 1);
}

TEST_CASE("one scene from files and from a cluster, where the other node's pods are published, is one model") {
  const auto pod = [](const char* name, const char* node, const char* ip) {
    return fmt::format(
        R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{0}","namespace":"shop","uid":"uid-{0}","labels":{{"app":"backend"}},
        "annotations":{{"leat.dev/netns":"/run/netns/{0}"}}}},"spec":{{"nodeName":"{1}","serviceAccountName":"backend"}},
        "status":{{"phase":"Running","podIP":"{2}"}}}})",
        name, node, ip);
  };
  const std::string here = pod("here", "node-a", "10.1.0.1"), there = pod("there", "node-b", "10.2.0.1");
  const std::string space =
      R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"leat.dev/mesh":"enabled"}}})";
  const std::string nodes =
      R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"node-a","labels":{"topology.kubernetes.io/zone":"z1"}}},
         {"apiVersion":"v1","kind":"Node","metadata":{"name":"node-b","labels":{"topology.kubernetes.io/zone":"z2"}}})";
  const std::string service =
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"backend","namespace":"shop"},"spec":{"clusterIP":"10.96.0.10",
         "selector":{"app":"backend"},"ports":[{"port":80,"targetPort":8080}]}})";
  const std::string slice =
      R"({"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","metadata":{"name":"backend-1","namespace":"shop",
         "labels":{"kubernetes.io/service-name":"backend"}},"addressType":"IPv4","ports":[{"name":"","port":8080}],
         "endpoints":[{"addresses":["10.1.0.1"],"nodeName":"node-a"},{"addresses":["10.2.0.1"],"nodeName":"node-b"}]})";
  const std::string rule =
      R"({"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"backend","namespace":"shop"},
         "spec":{"hosts":["backend"],"http":[{"route":[{"destination":{"host":"backend"}}]}]}})";
  const std::string published =
      R"({"metadata":{"name":"node-b-0"},"spec":{"node":"node-b","workloads":[{"namespace":"shop","name":"there","uid":"uid-there",
         "addresses":["10.2.0.1"],"serviceAccount":"backend","owner":"there","labels":{"app":"backend"}}]}})";

  ObjectSet files;
  const std::string list = R"({"apiVersion":"v1","kind":"List","items":[)" + here + "," + there + "," + space + "," +
                           nodes + "," + service + "," + slice + "," + rule + "]}";
  const Parsed parsed = parse(list, "all.json", "default");
  REQUIRE(parsed.findings.empty());
  for (const Object& object : parsed.objects) files.put(object);

  Cache cluster;
  cluster.list("Pod", here);
  cluster.list("NodeWorkloads", published);
  cluster.list("Namespace", space);
  cluster.list("Node", nodes);
  cluster.list("Service", service);
  cluster.list("EndpointSlice", slice);
  cluster.list("VirtualService", rule);
  CHECK(cluster.cache.findings().empty());

  Books books_of_files, books_of_cluster;
  CompiledMesh of_files = Compiler("node-a", books_of_files).compile(files);
  CompiledMesh of_cluster = Compiler("node-a", books_of_cluster).compile(cluster.cache.objects());
  CHECK(of_cluster.findings.empty());
  CHECK(of_files.mesh.workloads_size() == 2);
  // Where an object stands is another place.
  for (CompiledMesh* compiled : {&of_files, &of_cluster}) {
    for (auto& each : *compiled->mesh.mutable_services()) {
      for (auto& table : *each.mutable_route_tables()) {
        for (auto& route : *table.mutable_routes()) route.clear_origin();
      }
    }
  }
  std::string difference;
  google::protobuf::util::MessageDifferencer differ;
  differ.ReportDifferencesToString(&difference);
  CHECK_MESSAGE(differ.Compare(of_files.mesh, of_cluster.mesh), difference);
  CHECK(of_files.plan.pods.size() == of_cluster.plan.pods.size());
}

TEST_CASE("a route whose status alone is another one changes nothing in the mesh, and the status is known") {
  Cache cache;
  const auto route = [](int generation, const char* status) {
    return fmt::format(
        R"({{"metadata":{{"name":"r","namespace":"shop","uid":"u","resourceVersion":"1","generation":{}}},)"
        R"("spec":{{"parentRefs":[{{"group":"","kind":"Service","name":"backend"}}]}},"status":{}}})",
        generation, status);
  };
  CHECK(cache.list("HTTPRoute", route(1, "{}")));
  const uint64_t version = cache.cache.objects().version();
  CHECK_FALSE(cache.list("HTTPRoute", route(1, R"({"parents":[{"controllerName":"leat.dev/mesh"}]})")));
  CHECK(cache.cache.objects().version() == version);
  const ObjectKey key{"HTTPRoute", {"shop", "r"}};
  CHECK(cache.cache.facts().at(key).parents.size() == 1);
  CHECK(cache.list("HTTPRoute", route(2, "{}")));
  CHECK(cache.cache.objects().version() > version);
}

TEST_CASE("a generation counts as judged once the mesh was made of it, and facts go with their object") {
  Cache cache;
  const char* route =
      R"({"metadata":{"name":"r","namespace":"shop","uid":"u","resourceVersion":"1","generation":5},"spec":{}})";
  cache.list("HTTPRoute", route);
  const ObjectKey key{"HTTPRoute", {"shop", "r"}};
  CHECK(cache.cache.facts().at(key).judged == 0);
  cache.cache.judged();
  CHECK(cache.cache.facts().at(key).judged == 5);
  cache.list("HTTPRoute", "");
  CHECK(cache.cache.facts().empty());
}
