// What DestinationRules say of how a Service's endpoints are used, and how the parts of one are merged: for the whole
// Service, for one of its ports, for a subset, for a subset's port.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "leat.pb.h"

namespace leat::control {

// "region/zone/subzone"; what is empty is not known, or any.
struct LocalityName {
  std::string region;
  std::string zone;
  std::string subzone;
  bool operator==(const LocalityName&) const = default;
};
// Parts may be left out from the right, or be "*".
LocalityName parse_locality(std::string_view text);
// `pattern` covers `name`: what is empty in it is any.
bool covers(const LocalityName& pattern, const LocalityName& name);

// How endpoints are preferred by where they are.
struct LocalitySetting {
  struct Share {
    LocalityName to;
    uint32_t weight = 0;
  };
  struct Distribute {
    LocalityName from;
    std::vector<Share> shares;
  };
  bool enabled = true;
  std::vector<Distribute> distribute;
  std::map<std::string, std::string> failover;  // region -> the region that takes over
  std::vector<std::string> failover_priority;   // labels, or label=value; the most important first
};

struct LoadBalancer {
  v1::LoadBalancing algorithm = v1::LB_LEAST_REQUEST;
  std::optional<v1::ConsistentHash> hash;
  std::optional<LocalitySetting> locality;
  std::optional<v1::Warmup> warmup;
};

// How endpoints are dialled.
struct ClientTls {
  v1::UpstreamTls mode = v1::UPSTREAM_TLS_AUTO;
  bool mutual = false;             // of TLS that we start
  v1::TlsOrigination origination;  // `secret` as it is written: a name in the rule's namespace
};

// The sections of a trafficPolicy. One that is given stands as a whole, one that is absent is inherited.
struct PolicySections {
  std::optional<LoadBalancer> load_balancer;
  std::optional<v1::ConnectionLimits> limits;
  std::optional<v1::OutlierDetection> outliers;
  std::optional<ClientTls> tls;
  std::optional<v1::RetryBudget> retry_budget;
};

struct TrafficPolicySpec {
  PolicySections all;
  std::map<uint16_t, PolicySections> ports;  // portLevelSettings
};

// What holds for `port`. A subset's sections come before the rule's; those of a port replace all that was said so far
// but for the retry budget, which has no port level: so Istio has it, and so sections that a port leaves out are the
// defaults. `subset` may be null.
PolicySections merge(const TrafficPolicySpec& rule, const TrafficPolicySpec* subset, uint16_t port);

}  // namespace leat::control
