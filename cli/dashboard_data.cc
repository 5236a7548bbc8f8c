#include "cli/dashboard_data.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "cli/routes_view.h"

namespace leat::cli {
namespace {

using Owners = std::set<std::string>;  // workloads: namespace/name

// Who is behind each subset of each Service: (namespace/name, subset) -> workloads. The empty subset is all of it.
std::map<std::pair<std::string, std::string>, Owners> owners_of(const v1::Mesh& mesh) {
  std::map<std::string, std::string> owner_by_uid;
  for (const v1::Workload& pod : mesh.workloads()) owner_by_uid[pod.uid()] = pod.namespace_() + "/" + pod.owner();
  std::map<std::pair<std::string, std::string>, Owners> owners;
  const auto add = [&](const std::string& key, const v1::Service& service) {
    for (const v1::Endpoint& endpoint : service.endpoints()) {
      const auto owner = owner_by_uid.find(endpoint.workload_uid());
      if (owner == owner_by_uid.end()) continue;
      owners[{key, ""}].insert(owner->second);
      for (const uint32_t subset : endpoint.subsets()) {
        if (subset < static_cast<uint32_t>(service.subsets_size()))
          owners[{key, service.subsets(static_cast<int>(subset)).name()}].insert(owner->second);
      }
    }
  };
  for (const v1::Service& service : mesh.services()) {
    const std::string key = service.namespace_() + "/" + service.name();
    add(key, service);
    for (const v1::ClientRule& rule : service.client_rules()) add(key, rule.service());
  }
  return owners;
}

// Of the requests that reached a workload of the route's services, those that reached this destination's.
double measured(const Owners& of_destination, const Owners& of_route, const std::vector<Edge>& edges) {
  double here = 0;
  double all = 0;
  for (const Edge& edge : edges) {
    const std::string workload =
        (edge.service_namespace.empty() ? edge.source_namespace : edge.service_namespace) + "/" + edge.workload;
    if (of_route.contains(workload)) all += edge.requests;
    if (of_destination.contains(workload)) here += edge.requests;
  }
  return all > 0 ? 100 * here / all : 0;
}

}  // namespace

Json dashboard_json(const v1::ApiReply& mesh, const std::vector<Edge>& edges, const std::vector<RouteLoad>& loads,
                    double seconds) {
  const auto owners = owners_of(mesh.mesh());
  const auto find = [&](const Json& destination) {
    const auto found =
        owners.find({destination["service"].get<std::string>(), destination["subset"].get<std::string>()});
    return found == owners.end() ? Owners{} : found->second;
  };
  std::map<std::string, Json> load_of;
  for (const Json& load : route_loads_json(loads)) load_of.emplace(load["route"].get<std::string>(), load);
  Json routes = routes_view(mesh, false).list;
  for (Json& route : routes) {
    const auto load = load_of.find(route.value("label", ""));  // routes of connections have none
    route["load"] = load == load_of.end() ? Json() : load->second;
    Owners of_route;
    for (const Json& destination : route["destinations"]) of_route.merge(find(destination));
    for (Json& destination : route["destinations"])
      destination["measuredPercent"] = measured(find(destination), of_route, edges);
  }
  return {{"seconds", seconds}, {"edges", edges_json(edges)}, {"routes", std::move(routes)}};
}

}  // namespace leat::cli
