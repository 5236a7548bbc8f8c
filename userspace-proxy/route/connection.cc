#include "userspace-proxy/route/connection.h"

#include <algorithm>

#include <fmt/format.h>

#include "userspace-proxy/route/table.h"

namespace leat::proxy::route {
namespace {

std::vector<Cidr> blocks_of(const google::protobuf::RepeatedPtrField<v1::Subnet>& subnets) {
  std::vector<Cidr> blocks;
  for (const v1::Subnet& subnet : subnets) {
    const auto base = IpAddress::from_wire(subnet.address());
    if (base) blocks.push_back({*base, static_cast<uint8_t>(std::min(subnet.prefix_bits(), 128u))});
  }
  return blocks;
}

bool contains(const std::vector<Cidr>& blocks, const IpAddress& address) {
  return blocks.empty() || std::ranges::any_of(blocks, [&](const Cidr& block) { return block.contains(address); });
}

}  // namespace

bool covers_host(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return !host.empty();
  if (!pattern.starts_with("*.")) return pattern == host;
  pattern.remove_prefix(1);
  return host.size() > pattern.size() && host.ends_with(pattern);
}

ConnectionMatcher::ConnectionMatcher(const v1::ConnectionMatch& match)
    : server_names_(match.sni_hosts().begin(), match.sni_hosts().end()),
      destinations_(blocks_of(match.destination_subnets())),
      sources_(blocks_of(match.source_subnets())),
      port_(static_cast<uint16_t>(match.port())),
      client_labels_(match.source_labels().begin(), match.source_labels().end()),
      client_namespace_(match.source_namespace()) {}

bool ConnectionMatcher::matches(const Connection& connection, const Client& client) const {
  const auto has_label = [&](const auto& label) {
    const auto found = client.labels.find(label.first);
    return found != client.labels.end() && found->second == label.second;
  };
  return (port_ == 0 || port_ == connection.port) &&
         (client_namespace_.empty() || client_namespace_ == client.namespace_) &&
         (server_names_.empty() ||
          std::ranges::any_of(server_names_,
                              [&](const std::string& name) { return covers_host(name, connection.server_name); })) &&
         contains(destinations_, connection.destination) && contains(sources_, connection.source) &&
         std::ranges::all_of(client_labels_, has_label);
}

ConnectionRoute compile_connection_route(const v1::ConnectionRoute& message) {
  ConnectionRoute route{.origin = fmt::format("{} {}/{}", message.origin().kind(), message.origin().namespace_(),
                                              message.origin().name())};
  for (const v1::ConnectionMatch& match : message.matches()) route.matches.emplace_back(match);
  uint64_t end = 0;
  for (const v1::RouteDestination& destination : message.destinations()) {
    end += destination.weight();
    route.destinations.push_back(compile_destination(destination, v1::HttpRoute::default_instance(), end));
  }
  return route;
}

const ConnectionRoute* find_route(std::span<const Table> tables, const Connection& connection, const Client& client) {
  const auto table =
      std::ranges::find_if(tables, [&](const Table& each) { return each.is_visible_to(client.namespace_); });
  if (table == tables.end()) return nullptr;
  const auto route = std::ranges::find_if(table->connections, [&](const ConnectionRoute& each) {
    return each.matches.empty() || std::ranges::any_of(each.matches, [&](const ConnectionMatcher& match) {
             return match.matches(connection, client);
           });
  });
  return route == table->connections.end() ? nullptr : &*route;
}

}  // namespace leat::proxy::route
