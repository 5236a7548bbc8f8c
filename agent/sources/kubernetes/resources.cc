#include "agent/sources/kubernetes/resources.h"

#include <algorithm>

#include <fmt/format.h>

#include "common/check.h"

namespace leat::sources {

std::vector<Resource> watched_resources(const std::string& node) {
  struct Row {
    std::string_view kind, plural;
    bool may_be_absent;
  };
  // Namespaces and the mesh's settings first: nothing depends on the order, but logs read better.
  static constexpr Row kRows[] = {
      {"Namespace", "namespaces", false},
      {"Node", "nodes", false},
      {"RuntimeClass", "runtimeclasses", false},
      {"Pod", "pods", false},
      {"Service", "services", false},
      {"EndpointSlice", "endpointslices", false},
      {"NetworkPolicy", "networkpolicies", false},
      {"Mesh", "meshes", true},
      {"NodeWorkloads", "nodeworkloads", true},
      {"PeerAuthentication", "peerauthentications", true},
      {"VirtualService", "virtualservices", true},
      {"DestinationRule", "destinationrules", true},
      {"ServiceEntry", "serviceentries", true},
      {"HTTPRoute", "httproutes", true},
      {"GRPCRoute", "grpcroutes", true},
      {"ReferenceGrant", "referencegrants", true},
      {"Telemetry", "telemetries", true},
  };
  std::vector<Resource> resources;
  for (const Row& row : kRows) {
    const control::Reader* reader = control::find_reader(row.kind);
    LEAT_CHECK(reader != nullptr, "a kind is watched that nothing reads");
    resources.push_back({.reader = reader,
                         .plural = row.plural,
                         .field_selector = row.kind == control::Pod::kKind ? "spec.nodeName=" + node : "",
                         .may_be_absent = row.may_be_absent});
  }
  return resources;
}

std::string collection_path(std::string_view api_version, std::string_view plural) {
  const bool core = api_version.find('/') == std::string_view::npos;
  return fmt::format("/{}/{}/{}", core ? "api" : "apis", api_version, plural);
}

std::vector<std::string> api_versions(const control::Reader& reader) {
  std::vector<std::string> versions;
  std::string_view left = reader.api_versions;
  while (!left.empty()) {
    const size_t end = std::min(left.find(' '), left.size());
    versions.emplace_back(left.substr(0, end));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return versions;
}

}  // namespace leat::sources
