// How the endpoints of a Service's port are used: a TrafficPolicy of the model, as the proxy reads it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "leat.pb.h"
#include "userspace-proxy/mesh/ref.h"

namespace leat::tls {
class Origin;
}

namespace leat::proxy {

struct Policy : RefCounted {
  using Millis = std::chrono::milliseconds;

  struct Hash {
    enum class Key : uint8_t { kHeader, kCookie, kSourceAddress, kQueryParam };
    Key key = Key::kSourceAddress;
    std::string name;  // of the header (in lower case), cookie or parameter
    std::string cookie_path;
    std::optional<Millis> cookie_ttl;  // of a cookie made here
    bool makes_cookie = false;         // where the request has none
    bool maglev = false;
    uint32_t table_size = 0;       // 0: the default
    uint32_t balance_percent = 0;  // of the mean load; 0: no bound
  };
  struct Warmup {
    Millis duration{};
    uint32_t minimum_percent = 10;
    double aggression = 1;
  };
  // A count of 0 is off.
  struct Outliers {
    uint32_t consecutive_5xx = 0;
    uint32_t consecutive_gateway_errors = 0;
    uint32_t consecutive_local_failures = 0;
    bool split_local = false;
    Millis interval{};
    Millis base_ejection{};
    Millis max_ejection{};
    uint32_t max_ejection_percent = 10;
    uint32_t min_health_percent = 0;
    std::vector<uint16_t> error_codes;  // ascending: what counts in place of 5xx; none: 5xx does
  };
  struct RetryBudget {
    double percent = 20;
    uint32_t min_concurrency = 3;
    Millis interval{};
  };

  v1::LoadBalancing algorithm = v1::LB_LEAST_REQUEST;
  std::optional<Hash> hash;
  std::vector<uint32_t> shares;  // of the groups of endpoints; none: the nearest group first
  std::optional<Warmup> warmup;
  std::optional<Outliers> outliers;
  std::optional<RetryBudget> retry_budget;
  v1::ConnectionLimits limits;  // 0: no limit, or the default
  v1::UpstreamTls tls = v1::UPSTREAM_TLS_AUTO;
  std::shared_ptr<const tls::Origin> origin;  // with UPSTREAM_TLS_ORIGINATE
  // By index into Service.endpoints of the message; empty: they are all in one.
  std::vector<uint32_t> group_of;

  explicit Policy(const v1::TrafficPolicy& message);
};

}  // namespace leat::proxy
