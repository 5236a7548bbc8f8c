// The VirtualServices, as route tables of the Services whose hosts they name.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "control/destination_rule.h"
#include "control/findings.h"
#include "control/hosts.h"
#include "control/objects.h"
#include "control/reads.h"

namespace leat::control {

class VirtualServices {
 public:
  // Empty until update().
  VirtualServices(const View& objects, Reads& reads) : objects_(objects), reads_(reads) {}

  // What is said otherwise than before.
  struct Difference {
    bool any = false;  // of findings, too
    std::set<Name> services;
    bool wildcards = false;  // then of every Service
  };
  // Compiles the VirtualServices that `keys` names, or all, and those of the parts `dirty`. Destinations that do not
  // exist are findings, and stay: their requests are answered with 503, not sent elsewhere.
  Difference update(const std::vector<ObjectKey>* keys, const std::set<Reads::Part>& dirty,
                    const ServiceRegistry& services, const DestinationRules& rules);

  // Who asks one of these, or for tables, is a reader of all that is said here of the Service.
  // Whether requests or connections of the Service's clients are routed.
  [[nodiscard]] bool routes(const Service& service) const;
  // Whether requests are.
  [[nodiscard]] bool routes_http(const Service& service) const;
  // Whether some route leads to the Service.
  [[nodiscard]] bool leads_to(const Name& service) const;
  static Fact fact_of(const Name& service) { return fact("routes", service); }

  // Writes the tables into `model`: those that name the Service, then wildcards, the
  // longest first; of one host the oldest first. A table that no client can see is left out, and a finding if its host
  // is no wildcard that yields.
  void add_tables(const Service& service, v1::Service& model, Findings& findings) const;

  [[nodiscard]] Findings findings() const;
  [[nodiscard]] std::set<Reads::Part> parts() const;  // one a VirtualService

 private:
  using Routes = google::protobuf::RepeatedPtrField<v1::HttpRoute>;
  using Connections = google::protobuf::RepeatedPtrField<v1::ConnectionRoute>;
  struct Compiled;
  // What one of its hosts makes of it.
  struct Table {
    const Compiled* from;
    const RouteHost* written;
    Host host;
    Name service;  // that the host names; of a wildcard: none
  };
  // One VirtualService whose hosts are routed.
  struct Compiled {
    Reads::Part part = Reads::kNobody;
    std::shared_ptr<const VirtualService> object;
    Routes routes;            // its hosts share them
    Connections connections;  // the same
    std::vector<Table> tables;
    std::set<Name> destinations;
    std::set<Name> delegates;
    Findings findings;
  };
  using Tables = std::vector<const Table*>;

  void settle(const Name& name, const ServiceRegistry& services, const DestinationRules& rules, Difference& difference);
  void compile(Compiled& compiled, const ServiceRegistry& services, const DestinationRules& rules);
  v1::HttpRoute compile_route(const VirtualService& object, const HttpRoute& route, const ServiceRegistry& services,
                              const DestinationRules& rules, Compiled& compiled) const;
  // Those for names of TLS come first.
  void compile_connections(const ServiceRegistry& services, const DestinationRules& rules, Compiled& compiled) const;
  // The entries of the object that `route` leaves its requests to.
  void add_delegated(const VirtualService& object, const HttpRoute& route, const ServiceRegistry& services,
                     const DestinationRules& rules, Compiled& compiled) const;
  v1::RouteDestination compile_destination(const VirtualService& object, const RouteDestination& destination,
                                           const ServiceRegistry& services, const DestinationRules& rules,
                                           std::string_view consequence, Compiled& compiled) const;
  // Says for which clients the destination's subset is none.
  static void check_subset(const VirtualService& object, const RouteDestination& destination, const Name& service,
                           const ScopedRules& rules, std::string_view consequence, Compiled& compiled);
  static void compile_hosts(const ServiceRegistry& services, Compiled& compiled);

  // Makes the index say what is compiled, or stop saying it.
  void enter(const Compiled& compiled, Difference& difference);
  void retract(const Compiled& compiled, Difference& difference);
  [[nodiscard]] Tables tables_of(const Name& service) const;

  const View& objects_;
  Reads& reads_;
  std::map<Name, Compiled> compiled_;
  std::map<Reads::Part, Name> by_part_;
  std::set<Name> hostless_;  // that others may delegate to

  // The index.
  std::map<Name, Tables> by_service_;    // the oldest first
  Tables wildcards_;                     // the longest first, of one length the oldest
  std::map<Name, size_t> destinations_;  // how many lead there
  std::map<Name, size_t> delegates_;     // how many delegate there
};

}  // namespace leat::control
