// The VirtualServices, as route tables of the Services whose hosts they name.
#pragma once

#include <set>
#include <vector>

#include "control/destination_rule.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"

namespace leat::control {

class VirtualServices {
 public:
  // Destinations that do not exist are findings, and stay: their requests are answered with 503, not sent elsewhere.
  VirtualServices(const ObjectSet& objects, const ServiceRegistry& services, const DestinationRules& rules,
                  Findings& findings);

  // Whether requests of the Service's clients are routed.
  [[nodiscard]] bool routes(const Service& service) const;
  // Whether some route leads to the Service.
  [[nodiscard]] bool leads_to(const Name& service) const { return destinations_.contains(service); }

  // Writes the tables into `model`: those that name the Service, then wildcards, the
  // longest first; of one host the oldest first. A table that no client can see is left out, and a finding if its host
  // is no wildcard that yields.
  void add_tables(const Service& service, v1::Service& model, Findings& findings) const;

 private:
  struct Table {
    const VirtualService* object;
    const RouteHost* written;  // which of its hosts
    Host host;
    size_t routes;  // index into routes_
  };
  using Routes = google::protobuf::RepeatedPtrField<v1::HttpRoute>;

  Routes compile_routes(const VirtualService& object, const ObjectSet& objects, const ServiceRegistry& services,
                        const DestinationRules& rules, Findings& findings);
  v1::HttpRoute compile_route(const VirtualService& object, const HttpRoute& route, const ServiceRegistry& services,
                              const DestinationRules& rules, Findings& findings);
  // The entries of the object that `route` leaves its requests to.
  void add_delegated(const VirtualService& object, const HttpRoute& route, const ObjectSet& objects,
                     const ServiceRegistry& services, const DestinationRules& rules, Routes& routes,
                     Findings& findings);
  void report_unused_delegates(const ObjectSet& objects, Findings& findings) const;
  v1::RouteDestination compile_destination(const VirtualService& object, const RouteDestination& destination,
                                           const ServiceRegistry& services, const DestinationRules& rules,
                                           std::string_view consequence, Findings& findings);
  void add_hosts(const VirtualService& object, const ServiceRegistry& services, Findings& findings);
  [[nodiscard]] std::vector<const Table*> tables_of(const Name& service) const;

  std::vector<Routes> routes_;                     // one an object: its hosts share them
  std::map<Name, std::vector<Table>> by_service_;  // the oldest first
  std::vector<Table> wildcards_;                   // the longest first, of one length the oldest
  std::set<Name> destinations_;
  std::set<Name> delegates_;  // that somebody delegates to
};

}  // namespace leat::control
