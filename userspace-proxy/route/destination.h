// Where a route leads, as the objects name it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "leat.pb.h"
#include "userspace-proxy/route/header_edits.h"

namespace leat::proxy::route {

struct Destination {
  std::string service;                       // namespace/name; empty: there is no such Service
  uint16_t port = 0;                         // 0: the one that the client asked for
  std::string subset;                        // empty: all endpoints
  uint64_t end = 0;                          // the weights up to and with this one
  std::string host;                          // as the object has it, for messages
  uint16_t missing_status = 503;             // the answer where there is no such Service, port or subset
  std::unique_ptr<const HeaderEdits> edits;  // the route's among them; null: heads go as they are
};

// `end`: the weights of its route up to and with this one.
Destination compile_destination(const v1::RouteDestination& message, const v1::HttpRoute& route, uint64_t end);

}  // namespace leat::proxy::route
