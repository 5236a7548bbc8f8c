// The last step of every inbound flow: connect to the application from inside its own namespace, with the client's
// alias as the source, so that the application sees the client's address (the kernel decodes the alias at accept() and
// getpeername()).
#pragma once

#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/flow/source_ids.h"
#include "userspace-proxy/ring/socket.h"
#include "userspace-proxy/telemetry/flow_table.h"

namespace leat::proxy {

class Worker;

struct Application {
  ring::Socket socket;
  SourceIds::Lease source_id;  // where the client is outside the model: leased while the connection lives
};

// From record.client to record.server, an address and port of record.destination.
ring::Task<Outcome<Application>> dial_application(Worker& worker, const FlowRecord& record,
                                                  ring::Clock::time_point deadline);

}  // namespace leat::proxy
