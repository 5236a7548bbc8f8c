// Where an opaque connection goes: by the routes for connections of the Service that its client asked for, as they are
// now.
#pragma once

#include <string_view>

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/mesh/mesh.h"
#include "userspace-proxy/telemetry/flow_table.h"

namespace leat::proxy {

class Worker;

struct ConnectionTarget {
  ServiceRef service;                   // whose endpoints it is; null: the very address that the client asked for
  const Service::Port* port = nullptr;  // of `service`
  bool remote_only = false;             // the kernel has given the local backends their share already
};

// Shows the Service in `record`. `to` has one. `server_name`: of the client's TLS; empty: none is known.
Outcome<ConnectionTarget> choose_connection(Worker& worker, FlowRecord& record, const Mesh& mesh, const Destination& to,
                                            std::string_view server_name);

}  // namespace leat::proxy
