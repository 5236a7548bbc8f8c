#include "control/service_policies.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "control/hosts.h"
#include "control/read_traffic_policy.h"
#include "control/tls_secrets.h"

namespace leat::control {
namespace {

class Policies {
 public:
  Policies(const Service& service, const DestinationRule* rule, const View& objects, const ServiceEndpoints& endpoints,
           const Places& places, v1::Service& model, Findings& findings)
      : service_(service),
        rule_(rule),
        objects_(objects),
        endpoints_(endpoints),
        places_(places),
        model_(model),
        findings_(findings) {
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

  [[nodiscard]] v1::TrafficPolicy compile(const PolicySections& sections) {
    v1::TrafficPolicy policy;
    const auto& balancer = sections.load_balancer;
    if (service_.as_asked || (balancer && balancer->algorithm == v1::LB_PASSTHROUGH)) {
      policy.set_load_balancing(v1::LB_PASSTHROUGH);  // there is nothing to choose
    } else if (balancer) {
      if (balancer->hash) *policy.mutable_hash() = *balancer->hash;
      if (!balancer->hash) policy.set_load_balancing(balancer->algorithm);
      if (balancer->warmup) *policy.mutable_warmup() = *balancer->warmup;
    } else if (service_.client_ip_affinity) {
      policy.mutable_hash()->set_source_address(true);
    } else {
      policy.set_load_balancing(algorithm_);
    }
    Groups groups = policy.load_balancing() == v1::LB_PASSTHROUGH ? std::nullopt : groups_of(sections);
    if (groups) *policy.mutable_groups() = std::move(*groups);
    if (sections.outliers) *policy.mutable_outliers() = *sections.outliers;
    if (sections.limits && sections.limits->ByteSizeLong() > 0) *policy.mutable_limits() = *sections.limits;
    if (sections.retry_budget) *policy.mutable_retry_budget() = *sections.retry_budget;
    if (sections.tls) policy.set_tls(sections.tls->mode);
    if (policy.tls() == v1::UPSTREAM_TLS_ORIGINATE) *policy.mutable_origination() = origination(*sections.tls);
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

  // A name that the server proves, and the credentials, under their own key.
  [[nodiscard]] v1::TlsOrigination origination(const ClientTls& tls) {
    v1::TlsOrigination made = tls.origination;
    const std::string& name = service_.meta.name.name;
    if (made.sni().empty() && !name.starts_with('*'))
      made.set_sni(service_.external ? name : full_host(service_.meta.name));
    if (made.subject_alt_names().empty())
      made.mutable_subject_alt_names()->Assign(service_.subject_alt_names.begin(), service_.subject_alt_names.end());
    if (made.sni().empty() && made.subject_alt_names().empty() && !made.skip_verify())
      complain(".tls.sni", fmt::format("missing: '{}' is no name that a server could prove; connections fail until it "
                                       "is there",
                                       name));
    if (tls.mutual && made.secret().empty() && (made.certificate_file().empty() || made.key_file().empty())) {
      made.set_secret("client certificate");  // named where it was read; there is none of this key
      return made;
    }
    if (made.secret().empty()) {
      std::vector<std::string> problems;
      made.set_secret(secret_of_files(objects_, made, problems).key());
      for (const std::string& problem : problems) complain(".tls", problem + "; connections fail until it is read");
      return made;
    }
    const Name secret_name{rule_->meta.name.ns, made.secret()};
    const auto* secret = objects_.find<Secret>(secret_name);
    made.set_secret(secret != nullptr ? key_of(*secret) : describe(Secret::kKind, secret_name));
    if (secret == nullptr) {
      complain(".tls.credentialName",
               "there is no Secret of this name in the rule's namespace; connections fail until "
               "there is");
    } else if (tls.mutual && (secret->pem.certificate().empty() || secret->pem.private_key().empty())) {
      complain(".tls.credentialName", "the Secret has no tls.crt and tls.key; connections fail until it has");
    }
    return made;
  }

  // Once, though several ports have the policy.
  void complain(std::string_view below, const std::string& message) {
    if (!told_.insert(message).second) return;
    findings_.push_back(finding_at(Severity::kError, *rule_, rule_->policy_place, below, message));
  }

  const Service& service_;
  const DestinationRule* rule_;
  const View& objects_;
  const ServiceEndpoints& endpoints_;
  const Places& places_;
  v1::Service& model_;
  Findings& findings_;
  v1::LoadBalancing algorithm_ = v1::LB_LEAST_REQUEST;
  std::vector<std::string> serialized_;
  std::set<std::string> told_;
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
  if (!rule.policy.all.tls || rule.policy.all.tls->mode != v1::UPSTREAM_TLS_MUTUAL) return;
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

void add_policies(const Service& service, const DestinationRule* rule, const View& objects,
                  const ServiceEndpoints& endpoints, const Places& places, v1::Service& model, Findings& findings) {
  static const TrafficPolicySpec kNothing;
  const TrafficPolicySpec& all = rule != nullptr ? rule->policy : kNothing;
  Policies policies(service, rule, objects, endpoints, places, model, findings);
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
         limits_connections || policy.load_balancing() == v1::LB_PEAK_EWMA ||
         policy.load_balancing() == v1::LB_PASSTHROUGH || policy.tls() == v1::UPSTREAM_TLS_ORIGINATE;
}

}  // namespace leat::control
