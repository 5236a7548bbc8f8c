// What the route of a request does besides choosing where it goes, applied to the exchange under way.
#pragma once

#include <chrono>
#include <optional>

#include "userspace-proxy/flow/choose_target.h"
#include "userspace-proxy/flow/http_exchange.h"

namespace leat::proxy {

// The answer to a question that a browser asks beforehand (a preflight), where the route has a policy on that; what the
// answers to other requests say of it goes into the response's edits.
std::optional<LocalAnswer> apply_cors(const route::Cors& cors, HttpExchange& exchange);

// Whether heads of this request change on their way.
bool has_edits(const ChosenTarget& chosen);
// Puts the route's rewrite and header edits into the exchange's, which point into what `chosen` holds from then on. An
// error: the request can't be sent like that.
Outcome<void> edit_heads(const ChosenTarget& chosen, HttpExchange& exchange);

// The answer of a route that makes one itself; nothing where it leads somewhere.
std::optional<LocalAnswer> answer_of_route(const ChosenTarget& chosen, const FlowRecord& record,
                                           const HttpExchange& exchange);

// What the route's fault does to this one request.
struct DrawnFault {
  std::chrono::milliseconds delay{0};
  std::optional<LocalAnswer> abort;
};
DrawnFault draw_fault(const route::Fault& fault, Worker& worker);

}  // namespace leat::proxy
