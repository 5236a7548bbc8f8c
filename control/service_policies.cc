#include "control/service_policies.h"

#include <algorithm>

#include <fmt/format.h>

#include "control/read_traffic_policy.h"

namespace leat::control {
namespace {

class Policies {
 public:
  Policies(const Service& service, const ServiceEndpoints& endpoints, const Places& places, v1::Service& model,
           Findings& findings)
      : service_(service), endpoints_(endpoints), places_(places), model_(model), findings_(findings) {
    if (const auto annotation = service.meta.annotations.find(kBalancingAnnotation);
        annotation != service.meta.annotations.end())
      read_annotation(annotation->second);
  }

  // 1 + its index in the model, each policy once; 0: the defaults.
  uint32_t index_of(const PolicySections& sections) {
    const v1::TrafficPolicy policy = compile(sections);
    const std::string bytes = policy.SerializeAsString();
    if (bytes.empty()) return 0;
    const auto same = std::ranges::find(serialized_, bytes);
    if (same != serialized_.end()) return static_cast<uint32_t>(same - serialized_.begin()) + 1;
    *model_.add_policies() = policy;
    serialized_.push_back(bytes);
    return static_cast<uint32_t>(serialized_.size());
  }

 private:
  void read_annotation(const std::string& text) {
    if (const auto algorithm = parse_balancing(text)) {
      algorithm_ = *algorithm;
      return;
    }
    findings_.push_back(finding_on(
        Severity::kError, service_, fmt::format("metadata.annotations[{}]", kBalancingAnnotation),
        fmt::format("must be least-request, round-robin, random or peak-ewma, not '{}'; least-request is used", text)));
  }

  [[nodiscard]] v1::TrafficPolicy compile(const PolicySections& sections) const {
    v1::TrafficPolicy policy;
    const auto& balancer = sections.load_balancer;
    if (balancer) {
      if (balancer->hash) *policy.mutable_hash() = *balancer->hash;
      if (!balancer->hash) policy.set_load_balancing(balancer->algorithm);
      if (balancer->warmup) *policy.mutable_warmup() = *balancer->warmup;
    } else if (service_.client_ip_affinity) {
      policy.mutable_hash()->set_source_address(true);
    } else {
      policy.set_load_balancing(algorithm_);
    }
    if (Groups groups = groups_of(sections)) *policy.mutable_groups() = std::move(*groups);
    if (sections.outliers) *policy.mutable_outliers() = *sections.outliers;
    if (sections.limits && sections.limits->ByteSizeLong() > 0) *policy.mutable_limits() = *sections.limits;
    if (sections.retry_budget) *policy.mutable_retry_budget() = *sections.retry_budget;
    policy.set_tls(sections.tls.value_or(v1::UPSTREAM_TLS_AUTO));
    return policy;
  }

  // Endpoints are preferred by locality where a rule says so, and, as in Istio, where one has outlierDetection.
  [[nodiscard]] Groups groups_of(const PolicySections& sections) const {
    if (sections.load_balancer && sections.load_balancer->locality)
      return groups_by_locality(*sections.load_balancer->locality, endpoints_, places_);
    if (!service_.traffic_distribution.empty())
      return groups_by_distribution(service_.traffic_distribution, endpoints_, places_);
    if (sections.outliers) return groups_by_locality({}, endpoints_, places_);
    return groups_by_hints(endpoints_, places_);
  }

  const Service& service_;
  const ServiceEndpoints& endpoints_;
  const Places& places_;
  v1::Service& model_;
  Findings& findings_;
  v1::LoadBalancing algorithm_ = v1::LB_LEAST_REQUEST;
  std::vector<std::string> serialized_;
};

void check_ports(const Service& service, const DestinationRule& rule, const TrafficPolicySpec& policy,
                 const Place& place, Findings& findings) {
  for (const auto& [port, sections] : policy.ports) {
    if (std::ranges::find(service.ports, port, &ServicePortSpec::port) != service.ports.end()) continue;
    findings.push_back(
        finding_at(Severity::kWarning, rule, place, "",
                   fmt::format("portLevelSettings of port {} have no effect: Service {} has no such port", port,
                               service.meta.name.text())));
  }
}

void check_rule(const Service& service, const DestinationRule& rule, const ServiceEndpoints& endpoints,
                Findings& findings) {
  if (rule.host.starts_with('*')) return;
  check_ports(service, rule, rule.policy, rule.policy_place, findings);
  for (const SubsetSpec& subset : rule.subsets) check_ports(service, rule, subset.policy, subset.place, findings);
  if (rule.policy.all.load_balancer && rule.policy.all.load_balancer->locality) {
    for (const std::string& label : rule.policy.all.load_balancer->locality->failover_priority) {
      if (is_comparable(label)) continue;
      findings.push_back(finding_at(Severity::kWarning, rule, rule.policy_place, ".loadBalancer.localityLbSetting",
                                    fmt::format("failoverPriority: '{}' is a label of clients' pods, which is not "
                                                "supported without a value; it and what follows is ignored",
                                                label)));
      break;
    }
  }
  if (rule.policy.all.tls != v1::UPSTREAM_TLS_MUTUAL) return;
  const auto outside = std::ranges::find_if(endpoints, [](const auto& entry) {
    return entry.second.ready && (entry.second.pod == nullptr || !entry.second.pod->captured);
  });
  if (outside == endpoints.end()) return;
  findings.push_back(finding_at(Severity::kWarning, rule, rule.policy_place, ".tls",
                                fmt::format("ISTIO_MUTUAL: the endpoint {} of Service {} is outside the mesh and will "
                                            "not be connected to",
                                            outside->first.text(), service.meta.name.text())));
}

}  // namespace

void add_policies(const Service& service, const DestinationRule* rule, const ServiceEndpoints& endpoints,
                  const Places& places, v1::Service& model, Findings& findings) {
  static const TrafficPolicySpec kNothing;
  const TrafficPolicySpec& all = rule != nullptr ? rule->policy : kNothing;
  Policies policies(service, endpoints, places, model, findings);
  for (v1::ServicePort& port : *model.mutable_ports())
    port.set_policy(policies.index_of(merge(all, nullptr, static_cast<uint16_t>(port.port()))));
  if (rule == nullptr) return;
  check_rule(service, *rule, endpoints, findings);
  for (v1::Subset& subset : *model.mutable_subsets()) {
    const auto spec = std::ranges::find(rule->subsets, subset.name(), &SubsetSpec::name);
    for (const v1::ServicePort& port : model.ports()) {
      const uint32_t index = policies.index_of(merge(all, &spec->policy, static_cast<uint16_t>(port.port())));
      if (index != port.policy()) (*subset.mutable_policies())[port.port()] = index;
    }
  }
}

bool needs_proxy(const v1::TrafficPolicy& policy) {
  const v1::ConnectionLimits& limits = policy.limits();
  const bool limits_connections = limits.max_connections() > 0 || limits.connect_timeout_ms() > 0 ||
                                  limits.idle_timeout_ms() > 0 || limits.max_connection_duration_ms() > 0 ||
                                  limits.keepalive_time_s() > 0;
  return policy.has_hash() || policy.has_groups() || policy.has_outliers() || policy.has_warmup() ||
         limits_connections || policy.load_balancing() == v1::LB_PEAK_EWMA;
}

}  // namespace leat::control
