#include "userspace-proxy/flow/route_actions.h"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "userspace-proxy/flow/worker.h"

namespace leat::proxy {
namespace {

void apply(const route::FieldEdits& edits, http1::HeadEdits& head) {
  for (const std::string& name : edits.remove) head.remove(name);
  for (const auto& line : edits.set) head.set(line.name, line.value);
  for (const auto& line : edits.add) head.add(line.name, line.value);
}

struct Target {
  std::string_view path;
  std::string_view query;
};

Target target_of(const http1::RequestHead& request) {
  const std::string_view whole = request.path_and_query();
  const size_t path_bytes = std::min(whole.find('?'), whole.size());
  return {whole.substr(0, path_bytes), whole.substr(std::min(path_bytes + 1, whole.size()))};
}

// As gRPC's own mapping has it, for clients that speak plain HTTP.
uint16_t http_status_of(uint8_t grpc_status) {
  constexpr std::array<uint16_t, 17> kStatuses = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                                  400, 409, 400, 501, 500, 503, 500, 401};
  return grpc_status < kStatuses.size() ? kStatuses[grpc_status] : 500;
}

}  // namespace

std::optional<LocalAnswer> apply_cors(const route::Cors& cors, HttpExchange& exchange) {
  using Kind = route::Cors::Kind;
  const http1::RequestHead& request = exchange.request();
  const http1::Fields& fields = request.fields();
  const route::Cors::Asked asked{.method = request.method_text(),
                                 .origin = fields.get("origin"),
                                 .requested_method = fields.get("access-control-request-method"),
                                 .requested_headers = fields.get("access-control-request-headers")};
  const Kind kind = cors.judge(asked);
  cors.describe(kind, asked,
                [&](std::string_view name, std::string_view value) { exchange.response_edits().set(name, value); });
  if (kind != Kind::kPreflight && kind != Kind::kRefusedPreflight) return std::nullopt;
  return LocalAnswer{.status = 200};
}

bool has_edits(const ChosenTarget& chosen) {
  if (!chosen.route) return false;
  const route::Actions* actions = chosen.route->actions.get();
  return (chosen.destination && chosen.destination->edits) ||
         (actions && (actions->rewrite || actions->edits || actions->cors));
}

Outcome<void> edit_heads(const ChosenTarget& chosen, HttpExchange& exchange) {
  const route::Actions* actions = chosen.route->actions.get();
  const route::HeaderEdits* edits = chosen.destination ? chosen.destination->edits.get() : actions->edits.get();
  if (edits) {
    apply(edits->request, exchange.request_edits());
    apply(edits->response, exchange.response_edits());
  }
  if (!actions || !actions->rewrite) return {};
  const auto [path, query] = target_of(exchange.request());
  const std::optional<std::string> written = actions->rewrite->apply(path, chosen.matched_path);
  if (!written) return std::unexpected(Reason::kRewriteTooLong);
  http1::HeadEdits& head = exchange.request_edits();
  head.set_target(head.keep(query.empty() ? *written : fmt::format("{}?{}", *written, query)));
  return {};
}

std::optional<LocalAnswer> answer_of_route(const ChosenTarget& chosen, const FlowRecord& record,
                                           const HttpExchange& exchange) {
  const route::Actions& actions = *chosen.route->actions;
  if (actions.redirect) {
    const http1::RequestHead& request = exchange.request();
    const auto [path, query] = target_of(request);
    const std::string authority(request.authority().empty() ? record.requested.text() : request.authority());
    return LocalAnswer{.status = actions.redirect->code(),
                       .location = actions.redirect->location({"http", authority, path, query, record.requested.port},
                                                              chosen.matched_path)};
  }
  if (!actions.direct_response) return std::nullopt;
  return LocalAnswer{.status = actions.direct_response->status, .text = actions.direct_response->body};
}

DrawnFault draw_fault(const route::Fault& fault, Worker& worker) {
  DrawnFault drawn;
  if (!fault.delay.never() && fault.delay.takes(worker.draw())) drawn.delay = std::chrono::milliseconds(fault.delay_ms);
  if (!fault.abort.never() && fault.abort.takes(worker.draw())) {
    drawn.abort = answer_for(Reason::kFaultAbort);
    if (fault.abort_status == 0) drawn.abort->grpc_status = static_cast<grpc::Status>(fault.abort_grpc_status);
    drawn.abort->status = fault.abort_status != 0 ? fault.abort_status : http_status_of(fault.abort_grpc_status);
  }
  return drawn;
}

}  // namespace leat::proxy
