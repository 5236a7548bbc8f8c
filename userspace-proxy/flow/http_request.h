// One request's life: its route, the tries at endpoints of it, the answer, the account.
#pragma once

#include <optional>

#include "userspace-proxy/flow/http_exchange.h"
#include "userspace-proxy/flow/outcome.h"
#include "userspace-proxy/ring/relay.h"

namespace leat::proxy {

struct HttpRequestEnd {
  Verdict verdict = Verdict::kOk;  // kReset: the client's connection is to be reset
  Reason reason = Reason::kNone;
  std::optional<ring::RelayResult> relayed = {};  // of a connection that was upgraded
};

// Serves the request that `exchange` has read. `alias`: the address that the application connected to.
// `valid`: what was found wrong with its head.
ring::Task<HttpRequestEnd> serve_request(Worker& worker, FlowRecord& record, HttpClient& client, HttpExchange& exchange,
                                         const IpAddress& alias, Outcome<void> valid, ring::Clock::time_point started);

}  // namespace leat::proxy
