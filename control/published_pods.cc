#include "control/published_pods.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace leat::control {

std::vector<PodPtr> PublishedPods::rebuild(const ObjectSet& objects, const std::string& own_node) {
  *this = {};
  std::vector<PodPtr> here;
  for (const auto& [name, published] : objects.all<NodeWorkloads>()) {
    if (published.node != own_node) put(objects.share<NodeWorkloads>(name), objects, here);
  }
  if (published_.empty()) return here;
  std::set<IpAddress> all;
  for (const auto& [name, service] : objects.all<Service>()) see(name, objects.share<Service>(name), all);
  for (const auto& [name, slice] : objects.all<EndpointSlice>()) see(name, objects.share<EndpointSlice>(name), all);
  return here;
}

PublishedPods::Update PublishedPods::update(const std::vector<ObjectKey>& keys, const ObjectSet& objects,
                                            const std::string& own_node) {
  Update update;
  const bool began_empty = published_.empty();
  for (const ObjectKey& key : keys) {
    if (key.kind != NodeWorkloads::kKind) continue;
    if (const auto known = published_.find(key.name); known != published_.end()) take(known->second, update.gone);
    Published now = objects.share<NodeWorkloads>(key.name);
    if (now && now->node != own_node) put(std::move(now), objects, update.here);
  }
  if (published_.empty()) {
    *this = {};
    return update;
  }
  if (began_empty) {
    update.here = rebuild(objects, own_node);
    return update;
  }
  for (const ObjectKey& key : keys) {
    if (key.kind == Service::kKind) see(key.name, objects.share<Service>(key.name), update.doubted);
    if (key.kind == EndpointSlice::kKind) see(key.name, objects.share<EndpointSlice>(key.name), update.doubted);
  }
  // Seldom are there any.
  for (const auto& [pod, why] : std::exchange(refused_, {})) {
    if (objects.find<Pod>(pod->meta.name) == nullptr) update.here.push_back(pod);
  }
  return update;
}

void PublishedPods::put(Published published, const ObjectSet& objects, std::vector<PodPtr>& here) {
  for (const Pod& pod : published->pods) {
    PodPtr shared(published, &pod);
    by_name_.emplace(pod.meta.name, shared);
    if (objects.find<Pod>(pod.meta.name) == nullptr) here.push_back(std::move(shared));
  }
  published_.insert_or_assign(published->meta.name, published);
}

void PublishedPods::take(const Published& published, std::vector<PodPtr>& gone) {
  for (const Pod& pod : published->pods) {
    const auto [first, last] = by_name_.equal_range(pod.meta.name);
    const auto known = std::find_if(first, last, [&](const auto& entry) { return entry.second.get() == &pod; });
    gone.push_back(known->second);
    refused_.erase(known->second);
    by_name_.erase(known);
  }
  published_.erase(Name(published->meta.name));
}

void PublishedPods::see(const Name& name, std::shared_ptr<const Service> now, std::set<IpAddress>& doubted) {
  std::shared_ptr<const Service>& known = services_[name];
  if (known) {
    for (const IpAddress& vip : known->vips) {
      const auto owners = vips_.find(vip);
      if (owners == vips_.end()) continue;  // it has the same one twice
      owners->second.erase(name);
      if (owners->second.empty()) vips_.erase(owners);
      doubted.insert(vip);
    }
  }
  known = std::move(now);
  if (!known) {
    services_.erase(name);
    return;
  }
  for (const IpAddress& vip : known->vips) {
    vips_[vip].insert(name);
    doubted.insert(vip);
  }
}

void PublishedPods::see(const Name& name, std::shared_ptr<const EndpointSlice> now, std::set<IpAddress>& doubted) {
  const auto each = [&](const EndpointSlice& slice, auto act) {
    for (const SliceEndpoint& endpoint : slice.endpoints) {
      if (endpoint.node.empty()) continue;
      for (const IpAddress& address : endpoint.addresses) {
        doubted.insert(address);
        act(nodes_[address], endpoint.node);
        if (nodes_[address].empty()) nodes_.erase(address);
      }
    }
  };
  std::shared_ptr<const EndpointSlice>& known = slices_[name];
  if (known) {
    each(*known, [](std::map<std::string, uint32_t>& nodes, const std::string& node) {
      if (--nodes[node] == 0) nodes.erase(node);
    });
  }
  known = std::move(now);
  if (known) {
    each(*known, [](std::map<std::string, uint32_t>& nodes, const std::string& node) { ++nodes[node]; });
  } else {
    slices_.erase(name);
  }
}

std::vector<PodPtr> PublishedPods::named(const Name& name) const {
  std::vector<PodPtr> pods;
  const auto [first, last] = by_name_.equal_range(name);
  for (auto known = first; known != last; ++known) pods.push_back(known->second);
  return pods;
}

// Why `address` can't be a pod's on `node`; empty: nothing speaks against it.
std::string PublishedPods::objection(const IpAddress& address, const std::string& node) const {
  if (const auto service = vips_.find(address); service != vips_.end())
    return fmt::format("{} is the address of {}", address.text(), describe(Service::kKind, *service->second.begin()));
  const auto nodes = nodes_.find(address);
  if (nodes == nodes_.end()) return "";
  for (const auto& [other, count] : nodes->second) {
    if (other != node) return fmt::format("{} is on node {} by its EndpointSlice", address.text(), other);
  }
  return "";
}

bool PublishedPods::is_believed(const PodPtr& pod) {
  for (const IpAddress& address : pod->addresses) {
    std::string why_not = objection(address, pod->node);
    if (why_not.empty()) continue;
    refused_.insert_or_assign(pod, std::move(why_not));
    return false;
  }
  return true;
}

Findings PublishedPods::findings() const {
  Findings all;
  for (const auto& [pod, why] : refused_) {
    const auto owner = std::ranges::find_if(published_, [&](const auto& entry) {
      const std::vector<Pod>& pods = entry.second->pods;
      return !pods.empty() && &pods.front() <= pod.get() && pod.get() <= &pods.back();
    });
    const NodeWorkloads& published = *owner->second;
    all.push_back(finding_on(
        Severity::kError, published, "spec.workloads",
        fmt::format("{} on node {} is not believed: {}", describe(Pod::kKind, pod->meta.name), published.node, why)));
  }
  return all;
}

}  // namespace leat::control
