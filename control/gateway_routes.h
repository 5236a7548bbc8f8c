// HTTPRoutes and GRPCRoutes whose parents are Services (the Gateway API's GAMMA), as route tables of those Services.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/findings.h"
#include "control/objects.h"
#include "control/reads.h"

namespace leat::control {

class GatewayRoutes {
 public:
  GatewayRoutes(const View& objects, Findings& findings);

  // Who asks one of these, or for tables, is a reader of all that is said here of the Service.
  // Whether requests of the Service's clients are routed.
  [[nodiscard]] bool routes(const Service& service, const View& view) const;
  // Whether some route leads to the Service.
  [[nodiscard]] bool leads_to(const Name& service, const View& view) const;
  static Fact fact_of(const Name& service) { return fact("gateway routes", service); }
  // The Services of which something is said.
  [[nodiscard]] std::set<Name> services() const;

  // Writes the tables into `model`, behind those that VirtualServices made: routes in a client's own namespace hold for
  // that one alone and come first, then those in the Service's. A route that can hold for nobody is a finding.
  void add_tables(const Service& service, const View& view, v1::Service& model, Findings& findings) const;

  // What became of each route at each of its parents.
  [[nodiscard]] const std::vector<v1::RouteStatus>& statuses() const { return statuses_; }

 private:
  // A route as it stands at one Service.
  struct Attached {
    const Meta* meta;
    std::string_view kind;
    const GatewayRouteSpec* spec;
    const ObjectRef* parent;
  };
  // One rule with one of its conditions.
  struct Entry {
    const Meta* meta;  // of its object
    v1::HttpRoute route;
    size_t place = 0;  // in its object
  };
  static bool comes_before(const Entry& left, const Entry& right);

  template <typename Kind>
  void attach_all(const View& objects, Findings& findings);
  void attach(const Attached& route, const View& objects, Findings& findings);
  std::vector<v1::RouteDestination> compile_backends(const Attached& route, const GatewayRule& rule,
                                                     const View& objects, v1::Condition& resolved, Findings& findings);
  v1::RouteDestination compile_backend(const Attached& route, const BackendRef& backend, const View& objects,
                                       std::string_view consequence, v1::Condition& resolved, Findings& findings);

  struct Table {
    std::vector<Entry> entries;  // the first that matches holds
    std::set<uint16_t> ports;    // that routes stand at
    bool all_ports = false;
    v1::Origin origin;  // of the first route
  };
  std::map<Name, std::map<std::string, Table>>
      by_service_;  // by the clients' namespace; "": of the Service's own routes
  std::set<Name> destinations_;
  std::vector<v1::RouteStatus> statuses_;
};

}  // namespace leat::control
