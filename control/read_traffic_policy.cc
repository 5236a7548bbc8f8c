#include "control/read_traffic_policy.h"

#include <algorithm>
#include <charconv>
#include <set>

#include <fmt/format.h>

#include "control/read_client_tls.h"

namespace leat::control {
namespace {

constexpr char kHashBalanceAnnotation[] = "leat.dev/hash-balance-percent";
constexpr uint32_t kUint32Max = 0xffffffff;

// ---- values

// Istio's -1, 2147483647 and the like mean that there is no limit, which is 0 here.
std::optional<uint32_t> read_limit(const Field& field) {
  constexpr uint32_t kNoLimit = 2'147'483'647;
  const auto text = field.text();
  if (!text || *text == "-1") return std::nullopt;
  const auto number = field.number(0, kUint32Max);
  return number && *number < kNoLimit ? number : std::nullopt;
}

std::optional<double> read_fraction(const Field& field, double least, double most) {
  const auto text = field.text();
  if (!text) return std::nullopt;
  double number = 0;
  const auto [end, status] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (status == std::errc{} && end == text->data() + text->size() && number >= least && number <= most) return number;
  field.error(fmt::format("must be a number of {} to {}, not '{}'; ignored", least, most, *text));
  return std::nullopt;
}

std::optional<uint64_t> read_time_ms(const Field& field) {
  const auto time = field.duration_ms();
  if (!time || *time > 0) return time;
  field.error("must be longer than 0; ignored");
  return std::nullopt;
}

// ---- loadBalancer

std::optional<v1::LoadBalancing> read_simple(const Field& simple) {
  const auto text = simple.text();
  if (!text || *text == "UNSPECIFIED") return std::nullopt;
  if (*text == "LEAST_REQUEST" || *text == "LEAST_CONN") return v1::LB_LEAST_REQUEST;
  if (*text == "ROUND_ROBIN") return v1::LB_ROUND_ROBIN;
  if (*text == "RANDOM") return v1::LB_RANDOM;
  if (*text == "PASSTHROUGH") return v1::LB_PASSTHROUGH;
  simple.error(fmt::format("must be LEAST_REQUEST, ROUND_ROBIN, RANDOM or PASSTHROUGH, not '{}'; ignored", *text));
  return std::nullopt;
}

std::string lower_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return text;
}

// Both are written into a header as they are.
bool is_cookie_text(std::string_view text) {
  return std::ranges::all_of(text, [](char letter) {
    return letter > ' ' && letter < 0x7f && std::string_view("\",;=").find(letter) == std::string_view::npos;
  });
}

void read_cookie(const Field& field, v1::HashCookie& cookie) {
  for (const char* part : {"name", "path"}) {
    if (!is_cookie_text(field[part].text_or()))
      return field[part].error("has a character that a cookie can't have; the hash is ignored");
  }
  cookie.set_name(field["name"].text_or());
  cookie.set_path(field["path"].text_or());
  const auto ttl = field["ttl"].duration_ms();
  cookie.set_ttl_ms(ttl.value_or(0));
  cookie.set_session(ttl == 0u);
}

bool is_prime(uint32_t number) {
  for (uint32_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return number >= 2;
}

std::optional<v1::ConsistentHash> read_hash(const Field& field) {
  if (!field.present()) return std::nullopt;
  constexpr uint32_t kMostRingPoints = 8'388'608;  // Envoy's
  constexpr uint32_t kMostMaglevEntries = 5'000'011;
  v1::ConsistentHash hash;
  if (auto header = field["httpHeaderName"].text()) hash.set_header(lower_case(std::move(*header)));
  if (field["httpCookie"].present()) read_cookie(field["httpCookie"], *hash.mutable_cookie());
  if (field["useSourceIp"].boolean() == true) hash.set_source_address(true);
  if (auto param = field["httpQueryParameterName"].text()) hash.set_query_param(std::move(*param));
  if (hash.key_case() == v1::ConsistentHash::KEY_NOT_SET || (hash.has_cookie() && hash.cookie().name().empty())) {
    field.error("names no httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName; ignored");
    return std::nullopt;
  }
  auto points = field["minimumRingSize"].number(1, kMostRingPoints);
  if (const auto ring = field["ringHash"]["minimumRingSize"].number(1, kMostRingPoints)) points = ring;
  if (points) hash.set_table_size(*points);
  if (field["maglev"].present()) {
    hash.set_maglev(true);
    hash.clear_table_size();
    const auto entries = field["maglev"]["tableSize"].number(2, kMostMaglevEntries);
    if (entries && !is_prime(*entries)) {
      field["maglev"]["tableSize"].error(fmt::format("must be a prime, and {} is none; 65537 is used", *entries));
    } else if (entries) {
      hash.set_table_size(*entries);
    }
  }
  return hash;
}

std::optional<v1::Warmup> read_warmup(const Field& balancer) {
  const Field field = balancer["warmup"];
  auto duration = read_time_ms(balancer["warmupDurationSecs"]);
  if (field.present()) duration = read_time_ms(field["duration"]);
  if (!duration) {
    if (field.present()) field["duration"].error("missing or wrong; the warm-up is ignored");
    return std::nullopt;
  }
  v1::Warmup warmup;
  warmup.set_duration_ms(*duration);
  warmup.set_minimum_percent(field["minimumPercent"].number(0, 100).value_or(10));
  warmup.set_aggression(read_fraction(field["aggression"], 1, 100).value_or(1));
  return warmup;
}

LocalitySetting::Distribute read_distribute(const Field& entry) {
  LocalitySetting::Distribute distribute{.from = parse_locality(entry["from"].text_or())};
  uint32_t sum = 0;
  for (const auto& [to, weight] : entry["to"].entries()) {
    const uint32_t share = weight.number(0, 100).value_or(0);
    sum += share;
    if (share > 0) distribute.shares.push_back({parse_locality(to), share});
  }
  if (sum != 100)
    entry["to"].error(fmt::format("the shares sum to {}, not to 100; they count as shares of {}", sum, sum));
  return distribute;
}

std::optional<LocalitySetting> read_locality(const Field& field) {
  if (!field.present()) return std::nullopt;
  LocalitySetting setting{.enabled = field["enabled"].boolean().value_or(true)};
  for (const Field& entry : field["distribute"].items()) setting.distribute.push_back(read_distribute(entry));
  for (const Field& entry : field["failover"].items())
    setting.failover[entry["from"].text_or()] = entry["to"].text_or();
  for (const Field& entry : field["failoverPriority"].items()) setting.failover_priority.push_back(entry.text_or());
  if (!setting.distribute.empty() && (!setting.failover.empty() || !setting.failover_priority.empty())) {
    field["distribute"].error("failover and failoverPriority are ignored: distribute stands alone");
    setting.failover.clear();
    setting.failover_priority.clear();
  }
  return setting;
}

std::optional<LoadBalancer> read_load_balancer(const Field& field) {
  if (!field.present()) return std::nullopt;
  LoadBalancer balancer;
  balancer.algorithm = read_simple(field["simple"]).value_or(v1::LB_LEAST_REQUEST);
  balancer.hash = read_hash(field["consistentHash"]);
  balancer.locality = read_locality(field["localityLbSetting"]);
  balancer.warmup = read_warmup(field);
  if (balancer.warmup && (balancer.hash || balancer.algorithm == v1::LB_RANDOM))
    field["warmup"].warn("has no effect with consistentHash and RANDOM");
  return balancer;
}

// ---- connectionPool

void read_tcp(const Field& tcp, v1::ConnectionLimits& limits) {
  limits.set_max_connections(read_limit(tcp["maxConnections"]).value_or(0));
  limits.set_connect_timeout_ms(read_time_ms(tcp["connectTimeout"]).value_or(0));
  limits.set_idle_timeout_ms(tcp["idleTimeout"].duration_ms().value_or(0));
  limits.set_max_connection_duration_ms(read_time_ms(tcp["maxConnectionDuration"]).value_or(0));
  const Field keepalive = tcp["tcpKeepalive"];
  if (!keepalive.present()) return;
  static constexpr uint32_t kMost = 32'767;  // the kernel's bound of times in seconds
  const auto seconds = [](const Field& field, uint32_t otherwise) {
    const auto time = read_time_ms(field);
    return time ? std::clamp(static_cast<uint32_t>(*time / 1000), 1u, kMost) : otherwise;
  };
  limits.set_keepalive_probes(keepalive["probes"].number(1, 127).value_or(9));  // the defaults are Linux'
  limits.set_keepalive_time_s(seconds(keepalive["time"], 7200));
  limits.set_keepalive_interval_s(seconds(keepalive["interval"], 75));
}

v1::H2Upgrade read_h2_upgrade(const Field& field) {
  const auto text = field.text();
  if (!text || *text == "DEFAULT") return v1::H2_UPGRADE_DEFAULT;
  if (*text == "UPGRADE") return v1::H2_UPGRADE_UPGRADE;
  if (*text == "DO_NOT_UPGRADE") return v1::H2_UPGRADE_DO_NOT_UPGRADE;
  field.error(fmt::format("must be DEFAULT, UPGRADE or DO_NOT_UPGRADE, not '{}'; DEFAULT is taken", *text));
  return v1::H2_UPGRADE_DEFAULT;
}

void read_keep_alive(const Field& field, v1::ConnectionLimits& limits) {
  if (!field.present()) return;
  constexpr uint64_t kAnswerMs = 20'000;  // of tunnels, too
  const auto interval = read_time_ms(field["interval"]);
  const auto timeout = read_time_ms(field["timeout"]);
  if (!interval) {
    if (!field["interval"].present()) field["interval"].error("missing; http2KeepAlive is ignored");
    return;
  }
  limits.set_http2_ping_interval_ms(*interval);
  limits.set_http2_ping_timeout_ms(timeout.value_or(kAnswerMs));
}

void read_http(const Field& http, v1::ConnectionLimits& limits) {
  limits.set_max_pending_requests(read_limit(http["http1MaxPendingRequests"]).value_or(0));
  limits.set_max_requests(read_limit(http["http2MaxRequests"]).value_or(0));
  limits.set_max_requests_per_connection(read_limit(http["maxRequestsPerConnection"]).value_or(0));
  limits.set_max_retries(read_limit(http["maxRetries"]).value_or(0));
  limits.set_http_idle_timeout_ms(http["idleTimeout"].duration_ms().value_or(0));
  limits.set_max_concurrent_streams(read_limit(http["maxConcurrentStreams"]).value_or(0));
  limits.set_h2_upgrade(read_h2_upgrade(http["h2UpgradePolicy"]));
  limits.set_use_client_protocol(http["useClientProtocol"].boolean().value_or(false));
  if (limits.use_client_protocol() && limits.h2_upgrade() != v1::H2_UPGRADE_DEFAULT)
    http["h2UpgradePolicy"].warn("has no effect beside useClientProtocol");
  read_keep_alive(http["http2KeepAlive"], limits);
}

std::optional<v1::ConnectionLimits> read_connection_pool(const Field& field) {
  if (!field.present()) return std::nullopt;
  v1::ConnectionLimits limits;
  read_tcp(field["tcp"], limits);
  read_http(field["http"], limits);
  return limits;
}

// ---- outlierDetection

std::optional<v1::OutlierDetection> read_outliers(const Field& field) {
  if (!field.present()) return std::nullopt;
  constexpr uint64_t kMaxEjectionMs = 300'000;  // Envoy's, or the base time where that is longer
  v1::OutlierDetection outliers;
  const auto consecutive = [&](const char* name) { return field[name].number(0, kUint32Max); };
  outliers.set_consecutive_5xx(consecutive("consecutive5xxErrors").value_or(5));
  if (field["consecutiveErrors"].present() && !field["consecutive5xxErrors"].present())
    outliers.set_consecutive_5xx(consecutive("consecutiveErrors").value_or(5));
  outliers.set_consecutive_gateway_errors(consecutive("consecutiveGatewayErrors").value_or(0));
  outliers.set_split_local(field["splitExternalLocalOriginErrors"].boolean().value_or(false));
  outliers.set_consecutive_local_failures(consecutive("consecutiveLocalOriginFailures").value_or(5));
  outliers.set_interval_ms(read_time_ms(field["interval"]).value_or(10'000));
  outliers.set_base_ejection_ms(read_time_ms(field["baseEjectionTime"]).value_or(30'000));
  outliers.set_max_ejection_ms(std::max(outliers.base_ejection_ms(), kMaxEjectionMs));
  outliers.set_max_ejection_percent(field["maxEjectionPercent"].number(0, 100).value_or(10));
  outliers.set_min_health_percent(field["minHealthPercent"].number(0, 100).value_or(0));
  std::set<uint32_t> codes;
  for (const Field& item : field["outlierDetectionHttpErrorCodes"].items()) {
    if (const auto code = item.number(100, 599)) codes.insert(*code);
  }
  outliers.mutable_error_codes()->Assign(codes.begin(), codes.end());
  return outliers;
}

// ---- retryBudget

std::optional<v1::RetryBudget> read_retry_budget(const Field& field) {
  if (!field.present()) return std::nullopt;
  v1::RetryBudget budget;
  budget.set_percent(read_fraction(field["percent"], 0, 100).value_or(20));
  budget.set_min_concurrency(field["minRetryConcurrency"].number(0, kUint32Max).value_or(3));
  budget.set_interval_ms(field["budgetInterval"].duration_ms().value_or(0));
  return budget;
}

PolicySections read_sections(const Field& policy) {
  return {.load_balancer = read_load_balancer(policy["loadBalancer"]),
          .limits = read_connection_pool(policy["connectionPool"]),
          .outliers = read_outliers(policy["outlierDetection"]),
          .tls = read_client_tls(policy["tls"]),
          .retry_budget = read_retry_budget(policy["retryBudget"])};
}

}  // namespace

TrafficPolicySpec read_traffic_policy(const Field& policy) {
  TrafficPolicySpec spec{.all = read_sections(policy)};
  for (const Field& entry : policy["portLevelSettings"].items()) {
    const auto port = entry["port"]["number"].port();
    if (!port) {
      if (!entry["port"]["number"].present()) entry["port"].error("has no number; the entry is ignored");
    } else if (!spec.ports.emplace(*port, read_sections(entry)).second) {
      entry["port"].error(fmt::format("a second entry for port {}; the first one counts", *port));
    }
  }
  return spec;
}

std::optional<v1::LoadBalancing> parse_balancing(std::string_view text) {
  if (text == "least-request") return v1::LB_LEAST_REQUEST;
  if (text == "round-robin") return v1::LB_ROUND_ROBIN;
  if (text == "random") return v1::LB_RANDOM;
  if (text == "peak-ewma") return v1::LB_PEAK_EWMA;
  return std::nullopt;
}

void read_balancing_annotations(const Field& metadata, TrafficPolicySpec& policy) {
  for (const auto& [name, field] : metadata["annotations"].entries()) {
    if (name == kBalancingAnnotation) {
      const auto algorithm = parse_balancing(field.text_or());
      if (!algorithm) {
        field.error(
            fmt::format("must be least-request, round-robin, random or peak-ewma, not '{}'; ignored", field.text_or()));
        continue;
      }
      if (!policy.all.load_balancer) policy.all.load_balancer.emplace();
      policy.all.load_balancer->algorithm = *algorithm;
    } else if (name == kHashBalanceAnnotation) {
      const auto percent = field.number(100, 10'000);
      if (!percent) continue;
      if (policy.all.load_balancer && policy.all.load_balancer->hash) {
        policy.all.load_balancer->hash->set_balance_percent(*percent);
      } else {
        field.warn("has no effect: trafficPolicy.loadBalancer.consistentHash is not there");
      }
    }
  }
}

}  // namespace leat::control
