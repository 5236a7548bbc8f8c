#include "control/published_pods.h"

#include <unordered_map>

#include <fmt/format.h>

namespace leat::control {
namespace {

// What the control plane says of addresses.
class AddressBook {
 public:
  explicit AddressBook(const ObjectSet& objects) {
    for (const auto& [name, service] : objects.all<Service>()) {
      for (const IpAddress& vip : service.vips) services_.emplace(vip, &service.meta.name);
    }
    for (const auto& [name, slice] : objects.all<EndpointSlice>()) {
      for (const SliceEndpoint& endpoint : slice.endpoints) {
        if (endpoint.node.empty()) continue;
        for (const IpAddress& address : endpoint.addresses) nodes_.emplace(address, &endpoint.node);
      }
    }
  }

  // Why `address` can't be a pod's on `node`; empty: nothing speaks against it.
  [[nodiscard]] std::string objection(const IpAddress& address, const std::string& node) const {
    if (const auto service = services_.find(address); service != services_.end())
      return fmt::format("{} is the address of {}", address.text(), describe(Service::kKind, *service->second));
    const auto other = nodes_.find(address);
    if (other == nodes_.end() || *other->second == node) return "";
    return fmt::format("{} is on node {} by its EndpointSlice", address.text(), *other->second);
  }

 private:
  std::unordered_map<IpAddress, const Name*> services_;
  std::unordered_map<IpAddress, const std::string*> nodes_;
};

}  // namespace

std::vector<const Pod*> published_pods(const ObjectSet& objects, const std::string& own_node, Findings& findings) {
  std::vector<const Pod*> pods;
  if (objects.all<NodeWorkloads>().empty()) return pods;
  const AddressBook addresses(objects);
  for (const auto& [name, published] : objects.all<NodeWorkloads>()) {
    if (published.node == own_node) continue;
    for (const Pod& pod : published.pods) {
      if (objects.find<Pod>(pod.meta.name) != nullptr) continue;
      std::string objection;
      for (const IpAddress& address : pod.addresses) {
        if (objection.empty()) objection = addresses.objection(address, published.node);
      }
      if (objection.empty()) {
        pods.push_back(&pod);
      } else {
        findings.push_back(finding_on(Severity::kError, published, "spec.workloads",
                                      fmt::format("{} on node {} is not believed: {}",
                                                  describe(Pod::kKind, pod.meta.name), published.node, objection)));
      }
    }
  }
  return pods;
}

}  // namespace leat::control
