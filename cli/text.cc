#include "cli/text.h"

#include <map>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "common/ip.h"

namespace leat::cli {

std::string address_text(const std::string& wire) {
  const auto address = IpAddress::from_wire(wire);
  return address ? address->text() : "";
}

std::string endpoint_text(const std::string& wire, uint32_t port) {
  const auto address = IpAddress::from_wire(wire);
  return address ? SocketAddress{*address, static_cast<uint16_t>(port)}.text() : "-";
}

std::string or_dash(std::string_view text) { return text.empty() ? "-" : std::string(text); }

std::string short_identity(std::string_view identity) {
  const size_t ns = identity.find("/ns/");
  const size_t account = identity.find("/sa/", ns == std::string_view::npos ? 0 : ns + 4);
  if (!identity.starts_with("spiffe://") || ns == std::string_view::npos || account == std::string_view::npos)
    return std::string(identity);
  return fmt::format("{}/{}", identity.substr(ns + 4, account - ns - 4), identity.substr(account + 4));
}

std::string_view mtls_text(v1::MtlsMode mode) {
  switch (mode) {
    case v1::MTLS_STRICT:
      return "strict";
    case v1::MTLS_DISABLE:
      return "disable";
    default:
      return "permissive";
  }
}

std::string_view protocol_text(v1::Protocol protocol) {
  switch (protocol) {
    case v1::PROTOCOL_HTTP:
      return "http";
    case v1::PROTOCOL_HTTP2:
      return "http2";
    case v1::PROTOCOL_TLS:
      return "tls";
    case v1::PROTOCOL_DETECT:
      return "detect";
    default:
      return "tcp";
  }
}

namespace {

std::string algorithm_text(const v1::TrafficPolicy& policy) {
  if (policy.has_hash()) {
    const v1::ConsistentHash& hash = policy.hash();
    std::string key = "source address";
    if (hash.has_header()) key = "header " + hash.header();
    if (hash.has_cookie()) key = "cookie " + hash.cookie().name();
    if (hash.has_query_param()) key = "query parameter " + hash.query_param();
    return (hash.maglev() ? "Maglev by " : "ring by ") + key;
  }
  switch (policy.load_balancing()) {
    case v1::LB_ROUND_ROBIN:
      return "round-robin";
    case v1::LB_RANDOM:
      return "random";
    case v1::LB_PEAK_EWMA:
      return "peak-ewma";
    case v1::LB_PASSTHROUGH:
      return "passthrough";
    default:
      return "least-request";
  }
}

}  // namespace

std::string policy_text(const v1::TrafficPolicy* policy) {
  if (policy == nullptr) return "least-request";
  std::string text = algorithm_text(*policy);
  const auto add = [&](bool has, std::string_view what) {
    if (has) text.append(", ").append(what);
  };
  add(policy->has_groups(), policy->groups().shares().empty() ? "nearest first" : "by shares of localities");
  add(policy->has_warmup(), "warm-up");
  add(policy->has_outliers(), "outliers");
  add(policy->has_limits(), "limits");
  add(policy->tls() == v1::UPSTREAM_TLS_DISABLE, "plaintext");
  add(policy->tls() == v1::UPSTREAM_TLS_MUTUAL, "mutual TLS only");
  add(policy->tls() == v1::UPSTREAM_TLS_ORIGINATE, policy->origination().skip_verify() ? "TLS, not verified" : "TLS");
  return text;
}

std::string clients_text(const v1::ClientRule& rule) {
  std::vector<std::string> labels;
  for (const auto& [label, value] : std::map<std::string, std::string>(rule.labels().begin(), rule.labels().end()))
    labels.push_back(fmt::format("{}={}", label, value));
  return fmt::format("clients in {}{}{}", fmt::join(rule.namespaces(), ", "), labels.empty() ? "" : " with ",
                     fmt::join(labels, ", "));
}

}  // namespace leat::cli
