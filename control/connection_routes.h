// What the connection routes of a Service's tables mean for its ports.
#pragma once

#include "control/objects.h"
#include "control/protocol.h"
#include "leat.pb.h"

namespace leat::control {

// Whether a route for connections may hold at the port: then the kernel leaves them to the proxy.
bool routes_connections(const v1::Service& model, uint32_t port);

// Says what the model's ports, which are those of `service`, are taken for. `http`: routes for requests hold.
// `shared`: its address is that of other hosts too.
void set_protocols(const Service& service, bool http, bool shared, v1::Service& model);

}  // namespace leat::control
