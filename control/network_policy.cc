#include "control/network_policy.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace leat::control {
namespace {

constexpr uint16_t kTunnelPort = 15008;
constexpr uint16_t kDnsPort = 53;
constexpr char kNamespaceNameLabel[] = "kubernetes.io/metadata.name";

using Pods = std::vector<const LivePod*>;  // enrolled ones, in the order of the pointers, for set operations

// ---- which enrolled pods a policy speaks of

class Enrolled {
 public:
  Enrolled(const ObjectSet& objects, const PodTable& pods) {
    for (const LivePod& live : pods.all()) {
      if (live.captured) all_.push_back(&live);
    }
    std::ranges::sort(all_);
    for (const auto& [name, space] : objects.all<Namespace>()) {
      Labels& labels = namespace_labels_[name.name] = space.meta.labels;
      labels[kNamespaceNameLabel] = name.name;  // Kubernetes sets it; files written by hand leave it out
    }
  }

  [[nodiscard]] size_t size() const { return all_.size(); }

  [[nodiscard]] Pods selected_by(const NetworkPolicy& policy) const {
    return where([&](const Pod& pod) {
      return pod.meta.name.ns == policy.meta.name.ns && selects(policy.pods, pod.meta.labels);
    });
  }

  [[nodiscard]] Pods peers_of(const PolicyRule& rule, const std::string& ns) const {
    if (rule.peers.empty()) return all_;
    return where([&](const Pod& pod) {
      return std::ranges::any_of(rule.peers, [&](const PolicyPeer& peer) { return matches(peer, pod, ns); });
    });
  }

 private:
  [[nodiscard]] bool matches(const PolicyPeer& peer, const Pod& pod, const std::string& ns) const {
    if (peer.block) {
      return std::ranges::any_of(pod.addresses, [&](const IpAddress& address) {
        return peer.block->contains(address) &&
               std::ranges::none_of(peer.except, [&](const Cidr& part) { return part.contains(address); });
      });
    }
    const std::string& space = pod.meta.name.ns;
    const bool in_namespace = peer.namespaces ? selects(*peer.namespaces, namespace_labels_.at(space)) : space == ns;
    return in_namespace && (!peer.pods || selects(*peer.pods, pod.meta.labels));
  }

  template <typename Predicate>
  [[nodiscard]] Pods where(Predicate predicate) const {
    Pods some;
    std::ranges::copy_if(all_, std::back_inserter(some), [&](const LivePod* live) { return predicate(*live->pod); });
    return some;
  }

  Pods all_;
  std::map<std::string, Labels> namespace_labels_;  // an enrolled pod's namespace has an object
};

// ---- what a rule lets pass

bool declares(const LivePod* live, const std::string& name, uint16_t port) {
  return std::ranges::any_of(live->pod->ports,
                             [&](const ContainerPort& one) { return one.name == name && one.port == port; });
}

// To each of `destinations`: a name may be another port in each.
bool lets_tunnels_pass(const PolicyRule& rule, const Pods& destinations) {
  return rule.all_ports || std::ranges::any_of(rule.ports, [&](const PolicyPort& port) {
           if (port.name.empty()) return port.first <= kTunnelPort && kTunnelPort <= port.last;
           return std::ranges::all_of(destinations,
                                      [&](const LivePod* live) { return declares(live, port.name, kTunnelPort); });
         });
}

bool is_for_dns(const PolicyRule& rule) {
  return std::ranges::all_of(rule.ports, [](const PolicyPort& port) {
    return port.name.empty() && port.first == kDnsPort && port.last == kDnsPort;
  });
}

bool serves_dns(const LivePod* live) {
  return std::ranges::find(live->pod->ports, kDnsPort, &ContainerPort::port) != live->pod->ports.end();
}

// ---- one direction

struct Rule {
  const PolicyRule* written;
  Pods peers;
  bool lets_tunnels_pass;
};

struct Policy {
  const NetworkPolicy* object;
  Pods selected;
  std::vector<Rule> rules;
};

Pods without(const Pods& pods, const Pods& removed) {
  Pods rest;
  std::ranges::set_difference(pods, removed, std::back_inserter(rest));
  return rest;
}

// Those of the rule's peers that may connect by it, but by no tunnel: no rule of any policy for the same pods has one
// pass.
Pods cut_off(const Rule& rule, const Policy& policy, const std::vector<Policy>& policies) {
  if (rule.lets_tunnels_pass || rule.written->ports.empty()) return {};
  Pods peers = rule.peers;
  for (const Policy& other : policies) {
    if (!std::ranges::includes(other.selected, policy.selected)) continue;
    for (const Rule& wider : other.rules) {
      if (wider.lets_tunnels_pass) peers = without(peers, wider.peers);
    }
  }
  return peers;
}

class Direction {
 public:
  Direction(const ObjectSet& objects, const Enrolled& enrolled, bool ingress) : enrolled_(enrolled), ingress_(ingress) {
    for (const auto& [name, policy] : objects.all<NetworkPolicy>()) {
      const auto& rules = ingress ? policy.ingress : policy.egress;
      if (!rules) continue;
      Policy added{.object = &policy, .selected = enrolled.selected_by(policy)};
      if (added.selected.empty()) continue;
      for (const PolicyRule& rule : *rules) added.rules.push_back(judge(rule, added));
      policies_.push_back(std::move(added));
    }
  }

  void report(Findings& findings) const {
    for (const Policy& policy : policies_) {
      std::vector<const PolicyRule*> lacking;
      for (const Rule& rule : policy.rules) {
        if (!cut_off(rule, policy, policies_).empty()) lacking.push_back(rule.written);
      }
      if (lacking.empty()) continue;
      findings.push_back(finding_at(Severity::kWarning, *policy.object, lacking.front()->ports_place, "",
                                    message_for(policy, lacking)));
    }
  }

 private:
  [[nodiscard]] Rule judge(const PolicyRule& rule, const Policy& policy) const {
    Rule judged{.written = &rule, .peers = enrolled_.peers_of(rule, policy.object->meta.name.ns)};
    judged.lets_tunnels_pass = control::lets_tunnels_pass(rule, ingress_ ? policy.selected : judged.peers);
    // Nearly every policy for egress lets pods ask for names, often anywhere, and means the DNS servers.
    if (!ingress_ && !rule.ports.empty() && is_for_dns(rule)) std::erase_if(judged.peers, std::not_fn(serves_dns));
    return judged;
  }

  [[nodiscard]] std::string message_for(const Policy& policy, const std::vector<const PolicyRule*>& lacking) const {
    std::string from = "this rule's peers";
    std::string to = fmt::format("the pods that the policy selects ({} of the mesh's {} enrolled ones)",
                                 policy.selected.size(), enrolled_.size());
    if (!ingress_) std::swap(from, to);
    std::string message = fmt::format(
        "TCP port {0} is missing: Leat's tunnels from {1} to {2} are dropped, and their connections fail after the "
        "connect timeout; add - {{protocol: TCP, port: {0}}} here: the peers stay as they are, but inside a "
        "tunnel the policy limits no ports",
        kTunnelPort, from, to);
    std::string_view before = "; the same for ";
    for (const PolicyRule* rule : std::span(lacking).subspan(1))
      message.append(std::exchange(before, ", ")).append(rule->ports_place.field);
    return message;
  }

  const Enrolled& enrolled_;
  bool ingress_;
  std::vector<Policy> policies_;
};

}  // namespace

void check_network_policies(const ObjectSet& objects, const PodTable& pods, Findings& findings) {
  const Enrolled enrolled(objects, pods);
  for (const bool ingress : {true, false}) Direction(objects, enrolled, ingress).report(findings);
}

}  // namespace leat::control
