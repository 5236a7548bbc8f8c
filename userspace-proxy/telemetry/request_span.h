// A request as a client span of OpenTelemetry, with its stable HTTP conventions.
#pragma once

#include "otlp.pb.h"
#include "userspace-proxy/telemetry/observed_request.h"

namespace leat::proxy {

// `request` has a trace that is reported.
otlp::Span request_span(const ObservedRequest& request);

}  // namespace leat::proxy
