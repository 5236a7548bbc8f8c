// One client's HTTP connection: request after request, each on a route, an endpoint and an upstream connection of its
// own.
#pragma once

#include "userspace-proxy/flow/classify.h"
#include "userspace-proxy/flow/http_connections.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class Worker;
class FlowRecord;

// Serves `client` until it ends, an error ends it, or the proxy leaves; then closes the record. `alias`: the address
// that the application connected to.
ring::Task<void> serve_http(Worker& worker, FlowRecord& record, HttpClient& client, HttpConnections::Place& place,
                            const IpAddress& alias);

}  // namespace leat::proxy
