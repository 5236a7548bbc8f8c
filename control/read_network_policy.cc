#include "control/read_network_policy.h"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

namespace leat::control {
namespace {

// ---- selectors

std::optional<LabelExpression::Operator> read_operator(const Field& field) {
  using Operator = LabelExpression::Operator;
  const std::string text = field.text_or();
  if (text == "In") return Operator::kIn;
  if (text == "NotIn") return Operator::kNotIn;
  if (text == "Exists") return Operator::kExists;
  if (text == "DoesNotExist") return Operator::kDoesNotExist;
  field.error(fmt::format("must be In, NotIn, Exists or DoesNotExist, not '{}'", text));
  return std::nullopt;
}

LabelSelector read_selector(const Field& field) {
  LabelSelector selector{.labels = field["matchLabels"].labels()};
  for (const Field& item : field["matchExpressions"].items()) {
    LabelExpression expression{.key = item["key"].text_or()};
    if (expression.key.empty()) item["key"].error("missing");
    if (const auto op = read_operator(item["operator"])) expression.op = *op;
    for (const Field& value : item["values"].items()) expression.values.push_back(value.text_or());
    selector.expressions.push_back(std::move(expression));
  }
  return selector;
}

// ---- rules

std::optional<Cidr> read_cidr(const Field& field) {
  const std::string text = field.text_or();
  auto cidr = Cidr::parse(text);
  if (!cidr) field.error(fmt::format("must be a CIDR like 10.0.0.0/8, not '{}'", text));
  return cidr;
}

PolicyPeer read_peer(const Field& field) {
  PolicyPeer peer;
  const Field pods = field["podSelector"];
  const Field namespaces = field["namespaceSelector"];
  const Field block = field["ipBlock"];
  if (pods.present()) peer.pods = read_selector(pods);
  if (namespaces.present()) peer.namespaces = read_selector(namespaces);
  if (block.present()) {
    peer.block = read_cidr(block["cidr"]);
    for (const Field& item : block["except"].items()) {
      if (const auto cidr = read_cidr(item)) peer.except.push_back(*cidr);
    }
  }
  if (block.present() == (pods.present() || namespaces.present()))
    field.error("must have either ipBlock, or podSelector, namespaceSelector or both");
  return peer;
}

// Nothing for another protocol than TCP.
std::optional<PolicyPort> read_port(const Field& field) {
  constexpr std::array<std::string_view, 3> kProtocols = {"TCP", "UDP", "SCTP"};
  const std::string protocol = field["protocol"].text_or("TCP");
  if (std::ranges::find(kProtocols, protocol) == kProtocols.end())
    field["protocol"].error(fmt::format("must be TCP, UDP or SCTP, not '{}'", protocol));
  if (protocol != "TCP") return std::nullopt;

  const Field end = field["endPort"];
  const std::string text = field["port"].text_or();
  const bool numeric = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!numeric) {
    if (end.present()) end.error("needs a port that is a number");
    return PolicyPort{.name = text};
  }
  const auto first = field["port"].port();
  if (!first) return std::nullopt;
  const uint16_t last = end.port().value_or(*first);
  if (last < *first) end.error(fmt::format("must not be less than port, {}", *first));
  return PolicyPort{.first = *first, .last = last};
}

std::vector<PolicyRule> read_rules(const Field& list, std::string_view peers) {
  std::vector<PolicyRule> rules;
  for (const Field& item : list.items()) {
    const Field ports = item["ports"];
    PolicyRule rule{.ports_place = {ports.path(), ports.line()}};
    for (const Field& peer : item[peers].items()) rule.peers.push_back(read_peer(peer));
    const auto entries = ports.items();
    rule.all_ports = entries.empty();
    for (const Field& entry : entries) {
      if (auto port = read_port(entry)) rule.ports.push_back(std::move(*port));
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

// ---- spec

struct Types {
  bool ingress = false;
  bool egress = false;
};

Types read_types(const Field& spec) {
  const auto items = spec["policyTypes"].items();
  if (items.empty()) return {.ingress = true, .egress = !spec["egress"].items().empty()};
  Types types;
  for (const Field& item : items) {
    const std::string text = item.text_or();
    if (text == "Ingress") {
      types.ingress = true;
    } else if (text == "Egress") {
      types.egress = true;
    } else {
      item.error(fmt::format("must be Ingress or Egress, not '{}'", text));
    }
  }
  return types;
}

}  // namespace

Object read_network_policy(const Field& root, Meta meta) {
  const Field spec = root["spec"];
  const Findings& findings = root.sink().findings;
  const size_t before = findings.size();
  NetworkPolicy policy{.meta = std::move(meta), .pods = read_selector(spec["podSelector"])};
  const Types types = read_types(spec);
  if (types.ingress) policy.ingress = read_rules(spec["ingress"], "from");
  if (types.egress) policy.egress = read_rules(spec["egress"], "to");
  if (holds_errors(std::span(findings).subspan(before))) {
    spec.error("can't be read whole, so it is not known whether the policy lets tunnels pass");
    return NetworkPolicy{.meta = std::move(policy.meta)};
  }
  return policy;
}

}  // namespace leat::control
