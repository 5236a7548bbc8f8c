// Answers that the proxy makes itself: because a route says so, or because a request could not be passed on, and what
// each cause means to the client and to the metrics.
#pragma once

#include <optional>
#include <string>

#include "userspace-proxy/grpc/grpc.h"
#include "userspace-proxy/http1/fault.h"
#include "userspace-proxy/telemetry/reason.h"
#include "userspace-proxy/telemetry/request_metrics.h"

namespace leat::proxy {

struct LocalAnswer {
  uint16_t status = 503;
  ResponseFlag flag = ResponseFlag::kNone;
  Reason reason = Reason::kNone;  // for the flow record
  std::string_view label;         // of the header leat-reason; empty: none
  std::string text;               // the body: one sentence, with the cure where there is one, or what the route says
  std::string location;           // of a redirect; empty: none
  std::optional<grpc::Status> grpc_status = std::nullopt;  // for a gRPC call; else what `status` means to one
};

LocalAnswer answer_for(Reason reason);
// A request that the codec did not accept.
LocalAnswer answer_for(http1::Fault fault);

}  // namespace leat::proxy
