// Where a connection goes whose bytes nobody looks at, but for the name in a TLS client's hello: the routes of a
// VirtualService's `tls` and `tcp`, compiled.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ip.h"
#include "leat.pb.h"
#include "userspace-proxy/route/destination.h"
#include "userspace-proxy/route/request.h"

namespace leat::proxy::route {

struct Connection {
  std::string_view server_name;  // in lower case; empty: none was said, or it is no TLS
  IpAddress destination;         // that the client asked for
  uint16_t port = 0;
  IpAddress source;
};

// `pattern` is a name, "*." and the end of one or more labels that stand before it, or "*"; both are in lower case.
bool covers_host(std::string_view pattern, std::string_view host);

// All conditions of one `match` entry; absent ones hold.
class ConnectionMatcher {
 public:
  explicit ConnectionMatcher(const v1::ConnectionMatch& match);
  [[nodiscard]] bool matches(const Connection& connection, const Client& client) const;

 private:
  std::vector<std::string> server_names_;
  std::vector<Cidr> destinations_, sources_;
  uint16_t port_;
  std::vector<std::pair<std::string, std::string>> client_labels_;
  std::string client_namespace_;
};

struct ConnectionRoute {
  std::string origin;
  std::vector<ConnectionMatcher> matches;  // none: every connection
  std::vector<Destination> destinations;   // the last one's `end` is never 0
};

ConnectionRoute compile_connection_route(const v1::ConnectionRoute& message);

struct Table;
// The first that matches in the first table that the client sees; null: none.
const ConnectionRoute* find_route(std::span<const Table> tables, const Connection& connection, const Client& client);

}  // namespace leat::proxy::route
