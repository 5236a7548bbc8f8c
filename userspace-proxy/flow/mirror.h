// Copies of requests, sent to other Services for those Services' sake: nobody waits for one, and what is answered is
// thrown away. Its Host ends in "-shadow", as in Envoy.
#pragma once

#include "userspace-proxy/flow/choose_target.h"
#include "userspace-proxy/flow/http_exchange.h"

namespace leat::proxy {

// For each mirror of the route that the dice choose. To be called when the request, whose flow is that of `record`, is
// over.
void mirror_request(Worker& worker, const FlowRecord& record, const ChosenTarget& chosen, HttpExchange& exchange);

}  // namespace leat::proxy
