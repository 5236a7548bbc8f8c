// One client's HTTP/2 connection: each of its streams is a request like any other (http_request.h), all at once.
#pragma once

#include "userspace-proxy/flow/classify.h"
#include "userspace-proxy/ring/task.h"

namespace leat::proxy {

class Worker;
class FlowRecord;

// Serves `client` until it ends, an error ends it, or the proxy leaves; then closes the record. `alias`: the address
// that the application connected to.
ring::Task<void> serve_http2(Worker& worker, FlowRecord& record, HttpClient& client, const IpAddress& alias);

}  // namespace leat::proxy
