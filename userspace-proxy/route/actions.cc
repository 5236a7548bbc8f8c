#include "userspace-proxy/route/actions.h"

#include <algorithm>
#include <cmath>

namespace leat::proxy::route {
namespace {

Fault compile(const v1::Fault& message) {
  return {.delay = Percentage(message.delay_percent()),
          .abort = Percentage(message.abort_percent()),
          .delay_ms = message.delay_ms(),
          .abort_status = static_cast<uint16_t>(message.abort_status()),
          .abort_grpc_status = static_cast<uint8_t>(message.abort_grpc_status())};
}

}  // namespace

Percentage::Percentage(double percent)
    : below_(static_cast<uint64_t>(std::llround(std::clamp(percent, 0.0, 100.0) / 100 * 0x1p32))) {}

std::unique_ptr<const Actions> compile_actions(const v1::HttpRoute& route, std::vector<std::string>* problems) {
  const bool rewrites = route.has_rewrite() && route.rewrite().path_case() != v1::Rewrite::PATH_NOT_SET;
  const bool answers = route.answer_case() != v1::HttpRoute::ANSWER_NOT_SET;
  if (!rewrites && !answers && !route.has_fault() && !route.has_cors() && route.mirrors().empty()) return nullptr;
  auto actions = std::make_unique<Actions>();
  if (route.has_cors()) actions->cors.emplace(route.cors(), problems);
  if (rewrites) {
    std::string problem;
    actions->rewrite.emplace(route.rewrite(), &problem);
    if (!problem.empty()) problems->push_back(std::move(problem));
  }
  if (route.has_redirect()) actions->redirect.emplace(route.redirect());
  if (route.has_direct_response()) {
    const v1::DirectResponse& message = route.direct_response();
    actions->direct_response = {static_cast<uint16_t>(message.status()), message.body()};
  }
  if (route.has_fault()) actions->fault = compile(route.fault());
  for (const v1::Mirror& mirror : route.mirrors())
    actions->mirrors.push_back({compile_destination(mirror.destination(), {}, 0), Percentage(mirror.percent())});
  if (answers) actions->edits = compile_edits({}, route.headers(), "");
  return actions;
}

}  // namespace leat::proxy::route
