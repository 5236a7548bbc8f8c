#include "userspace-proxy/mesh/policy.h"

namespace leat::proxy {
namespace {

Policy::Hash read(const v1::ConsistentHash& message) {
  using Key = Policy::Hash::Key;
  Policy::Hash hash{
      .maglev = message.maglev(), .table_size = message.table_size(), .balance_percent = message.balance_percent()};
  if (message.has_header()) {
    hash.key = Key::kHeader;
    hash.name = message.header();
  } else if (message.has_cookie()) {
    const v1::HashCookie& cookie = message.cookie();
    hash.key = Key::kCookie;
    hash.name = cookie.name();
    hash.cookie_path = cookie.path();
    hash.makes_cookie = cookie.session() || cookie.ttl_ms() > 0;
    if (!cookie.session()) hash.cookie_ttl = Policy::Millis(cookie.ttl_ms());
  } else if (message.has_query_param()) {
    hash.key = Key::kQueryParam;
    hash.name = message.query_param();
  }
  return hash;
}

Policy::Outliers read(const v1::OutlierDetection& message) {
  return {.consecutive_5xx = message.consecutive_5xx(),
          .consecutive_gateway_errors = message.consecutive_gateway_errors(),
          .consecutive_local_failures = message.consecutive_local_failures(),
          .split_local = message.split_local(),
          .interval = Policy::Millis(message.interval_ms()),
          .base_ejection = Policy::Millis(message.base_ejection_ms()),
          .max_ejection = Policy::Millis(message.max_ejection_ms()),
          .max_ejection_percent = message.max_ejection_percent(),
          .min_health_percent = message.min_health_percent(),
          .error_codes = {message.error_codes().begin(), message.error_codes().end()}};
}

}  // namespace

Policy::Policy(const v1::TrafficPolicy& message)
    : algorithm(message.load_balancing()),
      shares(message.groups().shares().begin(), message.groups().shares().end()),
      limits(message.limits()),
      tls(message.tls()),
      group_of(message.groups().group_of().begin(), message.groups().group_of().end()) {
  if (message.has_hash()) hash = read(message.hash());
  if (message.has_outliers()) outliers = read(message.outliers());
  if (message.has_warmup()) {
    warmup = Warmup{.duration = Millis(message.warmup().duration_ms()),
                    .minimum_percent = message.warmup().minimum_percent(),
                    .aggression = message.warmup().aggression()};
  }
  if (message.has_retry_budget()) {
    retry_budget = RetryBudget{.percent = message.retry_budget().percent(),
                               .min_concurrency = message.retry_budget().min_concurrency(),
                               .interval = Millis(message.retry_budget().interval_ms())};
  }
}

}  // namespace leat::proxy
