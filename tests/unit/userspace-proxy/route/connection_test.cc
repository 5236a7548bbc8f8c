#include "userspace-proxy/route/connection.h"

#include <doctest/doctest.h>

#include "userspace-proxy/route/table.h"

namespace leat::proxy::route {
namespace {

std::string wire(const char* address) { return IpAddress::parse(address)->wire(); }

v1::ConnectionRoute& add_route(v1::RouteTable& table, const char* name) {
  v1::ConnectionRoute& route = *table.add_connection_routes();
  route.mutable_origin()->set_name(name);
  route.add_destinations()->set_weight(1);
  return route;
}

struct Asked {
  std::string_view name;
  const char* to = "10.96.0.1";
  uint16_t port = 5432;
  const char* from = "10.1.0.1";
  std::string_view ns = "shop";
  Labels labels;
};

// The name of the object whose route is taken; "-": none.
std::string route_of(const v1::Service& service, const Asked& asked) {
  std::vector<std::string> problems;
  const std::vector<Table> tables = compile_tables(service, &problems);
  CHECK(problems.empty());
  const auto* route = find_route(tables,
                                 {.server_name = asked.name,
                                  .destination = *IpAddress::parse(asked.to),
                                  .port = asked.port,
                                  .source = *IpAddress::parse(asked.from)},
                                 {asked.ns, asked.labels});
  return route ? route->origin.substr(route->origin.find('/') + 1) : "-";
}

}  // namespace

TEST_CASE("a wildcard covers every name below it and not its own end") {
  CHECK(covers_host("a.example.com", "a.example.com"));
  CHECK(!covers_host("a.example.com", "b.example.com"));
  CHECK(covers_host("*.example.com", "a.example.com"));
  CHECK(covers_host("*.example.com", "a.b.example.com"));
  CHECK(!covers_host("*.example.com", "example.com"));
  CHECK(!covers_host("*.example.com", "badexample.com"));
  CHECK(covers_host("*", "a"));
  CHECK(!covers_host("*", ""));
}

TEST_CASE("the first route is taken all of whose conditions hold in one of its matches") {
  v1::Service service;
  v1::RouteTable& table = *service.add_route_tables();
  v1::ConnectionMatch& named = *add_route(table, "named").add_matches();
  named.add_sni_hosts("a.example.com");
  named.add_sni_hosts("*.b.example.com");
  v1::ConnectionRoute& placed = add_route(table, "placed");
  v1::ConnectionMatch& from_here = *placed.add_matches();
  from_here.set_port(5433);
  (*from_here.mutable_source_labels())["app"] = "web";
  from_here.set_source_namespace("shop");
  v1::ConnectionMatch& subnets = *placed.add_matches();
  v1::Subnet& to = *subnets.add_destination_subnets();
  to.set_address(wire("10.97.0.0"));
  to.set_prefix_bits(96 + 16);
  v1::Subnet& from = *subnets.add_source_subnets();
  from.set_address(wire("10.1.0.0"));
  from.set_prefix_bits(96 + 24);

  CHECK(route_of(service, {.name = "a.example.com"}) == "named");
  CHECK(route_of(service, {.name = "x.b.example.com"}) == "named");
  CHECK(route_of(service, {.name = "b.example.com"}) == "-");
  CHECK(route_of(service, {}) == "-");
  CHECK(route_of(service, {.port = 5433, .labels = {{"app", "web"}}}) == "placed");
  CHECK(route_of(service, {.port = 5433, .labels = {{"app", "other"}}}) == "-");
  CHECK(route_of(service, {.port = 5433, .ns = "other", .labels = {{"app", "web"}}}) == "-");
  CHECK(route_of(service, {.to = "10.97.3.4"}) == "placed");
  CHECK(route_of(service, {.to = "10.97.3.4", .from = "10.1.1.1"}) == "-");
  CHECK(route_of(service, {.to = "10.98.3.4"}) == "-");
  add_route(table, "rest");
  CHECK(route_of(service, {}) == "rest");
}

TEST_CASE("only the first table that a client sees counts") {
  v1::Service service;
  v1::RouteTable& own = *service.add_route_tables();
  own.add_visible_to("shop");
  add_route(own, "own").add_matches()->set_port(1);
  add_route(*service.add_route_tables(), "all");
  CHECK(route_of(service, {.ns = "shop"}) == "-");
  CHECK(route_of(service, {.ns = "other"}) == "all");
}

TEST_CASE("a route that leads nowhere is left out and named") {
  v1::Service service;
  service.add_route_tables()->add_connection_routes();
  std::vector<std::string> problems;
  CHECK(compile_tables(service, &problems).front().connections.empty());
  CHECK(problems.size() == 1);
}

}  // namespace leat::proxy::route
