#include "control/read_connection_routes.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "control/read_destinations.h"
#include "control/text.h"

namespace leat::control {
namespace {

constexpr std::string_view kMeshGateway = "mesh";

// A host name, or one that begins with "*.", or "*" alone.
bool is_sni_host(std::string_view text) {
  if (text == "*") return true;
  if (text.starts_with("*.")) text.remove_prefix(2);
  return !text.empty() && text.size() <= 253 && !text.contains("*") && text.front() != '.' &&
         std::ranges::all_of(text, [](char letter) {
           return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' ||
                  letter == '.' || letter == '_';
         });
}

void read_subnet(const Field& field, google::protobuf::RepeatedPtrField<v1::Subnet>& subnets) {
  const std::string text = field.text_or();
  const auto cidr = Cidr::parse(text);
  if (!cidr) return field.error(fmt::format("must be an address or a block like 10.0.0.0/8, not '{}'", text));
  v1::Subnet& subnet = *subnets.Add();
  subnet.set_address(cidr->base.wire());
  subnet.set_prefix_bits(cidr->prefix_bits);
}

bool is_condition(std::string_view name, bool tls) {
  constexpr std::string_view kBoth[] = {"destinationSubnets", "gateways", "port", "sourceLabels", "sourceNamespace"};
  return std::ranges::find(kBoth, name) != std::end(kBoth) || name == (tls ? "sniHosts" : "sourceSubnet");
}

void read_conditions(const Field& field, bool tls, v1::ConnectionMatch& match) {
  for (const auto& [name, value] : field.entries()) {
    if (!is_condition(name, tls)) field.error(fmt::format("has a condition that Leat does not know: '{}'", name));
  }
  if (tls) {
    for (const Field& item : field["sniHosts"].items()) {
      const std::string host = lower_case(item.text_or());
      if (!is_sni_host(host)) item.error(fmt::format("'{}' is no host, nor one that begins with '*.'", host));
      match.add_sni_hosts(host);
    }
    if (match.sni_hosts().empty()) field["sniHosts"].error("missing: say for which names of TLS the entry is");
  }
  for (const Field& item : field["destinationSubnets"].items()) read_subnet(item, *match.mutable_destination_subnets());
  if (!tls && field["sourceSubnet"].present()) read_subnet(field["sourceSubnet"], *match.mutable_source_subnets());
  match.set_port(field["port"].port().value_or(0));
  for (const auto& [label, value] : field["sourceLabels"].labels()) (*match.mutable_source_labels())[label] = value;
  match.set_source_namespace(field["sourceNamespace"].text_or());
}

bool holds_in_mesh(const Field& match) {
  const auto gateways = match["gateways"].items();
  return gateways.empty() ||
         std::ranges::any_of(gateways, [](const Field& gateway) { return gateway.text_or() == kMeshGateway; });
}

// Whether any connection is left that the route takes.
bool read_matches(const Field& list, bool tls, ConnectionRoute& route) {
  if (list.present() && !list.is_list()) {
    list.error("must be a list; the route is left out");
    return false;
  }
  const auto items = list.items();
  if (tls && items.empty()) {
    list.error("missing: a tls route is for names, in sniHosts; the route is left out");
    return false;
  }
  for (const Field& item : items) {
    const Findings& findings = item.sink().findings;
    const size_t before = findings.size();
    v1::ConnectionMatch match;
    if (item.is_map()) {
      if (!holds_in_mesh(item)) continue;
      read_conditions(item, tls, match);
    } else {
      item.error("must be a mapping of fields");
    }
    if (holds_errors(std::span(findings).subspan(before))) {
      item.error(
          "can't be read whole, so it is left out: without a condition it would take more connections than meant");
    } else {
      route.matches.push_back(std::move(match));
    }
  }
  return items.empty() || !route.matches.empty();
}

void read_list(const Field& list, bool tls, std::vector<ConnectionRoute>& routes) {
  for (const Field& item : list.items()) {
    ConnectionRoute route{.place = {item.path(), item.line()}};
    if (!read_matches(item["match"], tls, route)) continue;
    if (read_destinations(item["route"], "connections that come here are reset", route.destinations)) {
      routes.push_back(std::move(route));
    } else {
      item.error("has no route that leads anywhere, so it is left out: the next entry that matches holds");
    }
  }
}

}  // namespace

void read_connection_routes(const Field& spec, VirtualService& service) {
  read_list(spec["tls"], /*tls=*/true, service.tls);
  read_list(spec["tcp"], /*tls=*/false, service.tcp);
}

}  // namespace leat::control
